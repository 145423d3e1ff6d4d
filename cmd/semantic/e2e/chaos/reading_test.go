package chaos

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// reading is one client's stream, over all its connections.
type reading struct {
	right *answer
	got   *answer
	// loose: the right answer may be worded otherwise.
	loose bool
	job   string
	last  schemas.ChunkID
	// over: the stream said that it is. code is its error, of the job or of the
	// gateway; whose is told by the log.
	over   bool
	code   string
	failed bool // by an error of the job
	// kind and problem are what was wrong with it, of which there is nothing else
	// to be said.
	kind, problem string
	chunks        int
	at            time.Time // of the last chunk with something to read
	pause         time.Duration
}

func newReading(right *answer) *reading { return &reading{right: right, got: newAnswer()} }

// message is what is read of a chunk, and of a whole answer.
type message struct {
	Content   string `json:"content"`
	Reasoning string `json:"reasoning_content"`
	ToolCalls []struct {
		Index    int `json:"index"`
		Function struct {
			Name      string `json:"name"`
			Arguments string `json:"arguments"`
		} `json:"function"`
	} `json:"tool_calls"`
}

type document struct {
	Choices []struct {
		Index        int                  `json:"index"`
		Delta        message              `json:"delta"`
		Message      message              `json:"message"`
		Text         string               `json:"text"`
		FinishReason schemas.FinishReason `json:"finish_reason"`
	} `json:"choices"`
	Usage *struct {
		Prompt     int `json:"prompt_tokens"`
		Completion int `json:"completion_tokens"`
	} `json:"usage"`
	Error *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// merge adds a chunk, or a whole answer.
func (a *answer) merge(d document) (says bool) {
	for _, c := range d.Choices {
		s := a.choice(c.Index)
		m := c.Delta
		if c.Message.Content != "" || c.Message.Reasoning != "" || len(c.Message.ToolCalls) > 0 {
			m = c.Message
			for i := range m.ToolCalls {
				m.ToolCalls[i].Index = i
			}
		}
		s.text, s.reasoning = s.text+m.Content+c.Text, s.reasoning+m.Reasoning
		for _, t := range m.ToolCalls {
			at := s.call(t.Index)
			at.name, at.arguments = at.name+t.Function.Name, at.arguments+t.Function.Arguments
		}
		s.finish = cmp.Or(s.finish, c.FinishReason)
		says = says || m.Content != "" || c.Text != "" || m.Reasoning != "" || len(m.ToolCalls) > 0
	}
	if d.Usage != nil {
		a.prompt, a.completion = d.Usage.Prompt, d.Usage.Completion
	}
	return says
}

func (r *reading) fault(kind, format string, args ...any) {
	if r.problem == "" {
		r.kind, r.problem = kind, fmt.Sprintf(format, args...)
	}
}

// take reads one event of the stream.
func (r *reading) take(id string, data []byte) {
	if string(data) == "[DONE]" {
		r.over = true
		return
	}
	var d document
	if err := json.Unmarshal(data, &d); err != nil {
		r.fault(wrongText, "chunk %q: %v", data, err)
		return
	}
	if d.Error != nil {
		r.code = d.Error.Code
	}
	if id == "" {
		if d.Error == nil {
			r.fault(wrongText, "chunk without an id: %s", data)
		}
		return
	}
	at, err := schemas.ParseChunkID(id)
	switch {
	case err != nil:
		r.fault(wrongText, "id: %v", err)
	case at.Job != r.job:
		r.fault(wrongText, "chunk %s in the stream of %s", id, r.job)
	case r.last.N > 0 && !at.After(r.last):
		r.fault(wrongRepeated, "chunk %s after %s", id, r.last)
	case at.N == r.last.N && at.K != r.last.K+1, at.N > r.last.N && at.K != 0:
		r.fault(wrongLost, "chunk %s after %s", id, r.last)
	}
	r.last = at
	if d.Error != nil {
		r.failed = true
		return
	}
	if r.got.merge(d) {
		now := time.Now()
		if r.chunks++; r.chunks > 1 {
			r.pause = max(r.pause, now.Sub(r.at))
		}
		r.at = now
	}
	if problem := r.got.begins(r.right); problem != "" && !r.loose {
		r.fault(wrongText, "after chunk %s: %s", id, problem)
	}
}

// linesOf are the lines of a response; one reader has them all, because it reads
// ahead.
func linesOf(body io.Reader) *bufio.Scanner {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	return lines
}

// read reads server-sent events until the stream ends, or stop says so after one.
func (r *reading) read(lines *bufio.Scanner, stop func() bool) {
	id, data := "", ""
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "id: "):
			id = line[len("id: "):]
		case strings.HasPrefix(line, "data: "):
			data = line[len("data: "):]
		case line == "" && data != "":
			r.take(id, []byte(data))
			id, data = "", ""
			if r.over || r.failed || r.problem != "" || stop() {
				return
			}
		}
	}
}

// check is for a stream that said it is over: all must be there.
func (r *reading) check() {
	if problem := r.got.equals(r.right); problem != "" {
		r.fault(wrongLost, "at its end: %s", problem)
	}
}
