package worker

import (
	"container/list"
	"sync"

	"github.com/semantic-worker/semantic/engine/grammar"
)

// mostGrammars bounds the compiled grammars that are kept for the next job with
// the same. One may take some 10 MB, most take less than one.
const mostGrammars = 32

// grammars keeps the compiled grammars that were used last, by their texts. Safe
// for concurrent use.
type grammars struct {
	mu     sync.Mutex
	byText map[string]*list.Element // of *compiled
	recent *list.List               // the one used last in front
}

type compiled struct {
	text    string
	grammar *grammar.Grammar
}

func newGrammars() *grammars {
	return &grammars{byText: make(map[string]*list.Element), recent: list.New()}
}

// compile returns the grammar of a text in GBNF. The error is grammar.Parse's.
func (g *grammars) compile(gbnf string) (*grammar.Grammar, error) {
	if known := g.known(gbnf); known != nil {
		return known, nil
	}
	parsed, err := grammar.Parse(gbnf)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if element, ok := g.byText[gbnf]; ok { // somebody else was faster
		return element.Value.(*compiled).grammar, nil
	}
	g.byText[gbnf] = g.recent.PushFront(&compiled{text: gbnf, grammar: parsed})
	if g.recent.Len() > mostGrammars {
		oldest := g.recent.Remove(g.recent.Back()).(*compiled)
		delete(g.byText, oldest.text)
	}
	return parsed, nil
}

func (g *grammars) known(gbnf string) *grammar.Grammar {
	g.mu.Lock()
	defer g.mu.Unlock()
	element, ok := g.byText[gbnf]
	if !ok {
		return nil
	}
	g.recent.MoveToFront(element)
	return element.Value.(*compiled).grammar
}
