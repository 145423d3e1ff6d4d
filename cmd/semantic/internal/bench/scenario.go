package bench

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"

	"github.com/semantic-worker/semantic/schemas"
)

// Request is what is asked.
type Request struct {
	Messages []schemas.Message
	// MaxTokens is the longest answer.
	MaxTokens int
	// Exact: the answer has MaxTokens tokens, whatever the model wants.
	Exact bool
	// Class and Agent may be empty.
	Class schemas.Class
	Agent string
}

// turns is how many times an agent asks in one conversation.
const turns = 8

// source makes the requests of a round. It is safe for concurrent use.
type source struct {
	config Config
	seed   uint64
	file   []Request
	shared string

	mu   sync.Mutex
	n    uint64
	idle []*agent // longest idle first
	all  int
}

// agent is a conversation that grows.
type agent struct {
	name     string
	messages []schemas.Message
	turn     int
}

func newSource(c Config, seed uint64, file []Request) *source {
	s := &source{config: c, seed: seed, file: file}
	if c.Scenario == ScenarioSharedPrefix {
		s.shared = prose(random(seed, useShared, 0), c.Words)
	}
	return s
}

// next makes a request, and says whom to tell the answer; nil for nobody. An
// answer of "" stands for none.
func (s *source) next() (r Request, answered func(text string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.n
	s.n++
	if s.config.Scenario == ScenarioFile {
		r = s.file[n%uint64(len(s.file))]
		if r.MaxTokens == 0 {
			r.MaxTokens = s.config.MaxTokens
		}
		if r.Class == "" {
			r.Class = s.config.Class
		}
		return r, nil
	}
	half := s.config.MaxTokens / 2
	r = Request{
		MaxTokens: s.config.MaxTokens - random(s.seed, useLength, n).IntN(half+1), Exact: true, Class: s.config.Class,
	}
	draw := random(s.seed, usePrompt, n)
	question := fmt.Sprintf("%s Answer question %d.", prose(draw, 20+draw.IntN(60)), n)
	switch s.config.Scenario {
	case ScenarioAgents:
		return s.agentTurn(r, draw)
	case ScenarioLongPrompt:
		r.Messages = say(fmt.Sprintf("Text %d. %s\n\nSum it up.", n, prose(draw, s.config.Words)))
	case ScenarioSharedPrefix:
		r.Messages = append([]schemas.Message{{Role: schemas.RoleSystem, Content: s.shared}}, say(question)...)
	case ScenarioMixedClasses:
		classes := schemas.Classes()
		r.Class = classes[random(s.seed, useClass, n).IntN(len(classes))]
		r.Messages = say(question)
	default:
		r.Messages = say(question)
	}
	return r, nil
}

func say(text string) []schemas.Message {
	return []schemas.Message{{Role: schemas.RoleUser, Content: text}}
}

// agentTurn is the next turn of the agent that has been idle for longest; where
// all are busy, of a new one. In a closed loop there are as many as users.
func (s *source) agentTurn(r Request, draw *rand.Rand) (Request, func(string)) {
	var a *agent
	if len(s.idle) > 0 {
		a, s.idle = s.idle[0], s.idle[1:]
	} else {
		a = &agent{name: fmt.Sprintf("agent-%d-%d", s.seed, s.all), turn: turns}
		s.all++
	}
	if a.turn == turns {
		a.turn = 0
		a.messages = []schemas.Message{{Role: schemas.RoleSystem, Content: "You are " + a.name + ". " + prose(draw, 200)}}
	}
	a.turn++
	a.messages = append(a.messages, say(fmt.Sprintf("Step %d. The tool says: %s", a.turn, prose(draw, 60)))...)
	r.Agent, r.Messages = a.name, append([]schemas.Message(nil), a.messages...)
	return r, func(text string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if text == "" {
			a.turn = turns // an agent that was not answered begins anew
		}
		a.messages = append(a.messages, schemas.Message{Role: schemas.RoleAssistant, Content: text})
		s.idle = append(s.idle, a)
	}
}

// prose is made-up text of so many words.
func prose(draw *rand.Rand, words int) string {
	var b strings.Builder
	left := 0
	for i := range words {
		word := vocabulary[draw.IntN(len(vocabulary))]
		if left == 0 {
			left = 6 + draw.IntN(10)
			word = strings.ToUpper(word[:1]) + word[1:]
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(word)
		if left--; left == 0 || i == words-1 {
			b.WriteByte('.')
		}
	}
	return b.String()
}

var vocabulary = strings.Fields(`the a of to in and is was for on that with as it by at from this be are or an have not but
they which one all there we can more when said about out up time them some could into other then two these may first any like
now over such our man even most made after also did many before must through back years where much way well down should
because each just those people how too little state good very make world still own see men work long get here between both life
being under never day same another know while last might us great old year off come since against go came right used take three
water house river stone field light night summer winter road town market letter paper table garden window bread salt iron
wood machine engine signal measure answer question number reason pattern system memory copper silver harbour captain doctor
teacher student farmer builder painter singer writer reader walker forest mountain valley island village bridge tower castle
cloud storm thunder weather morning evening yesterday tomorrow careful simple narrow heavy quiet bright distant ancient modern`)
