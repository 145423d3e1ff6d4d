package queue

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/semantic-worker/semantic/schemas"
)

// Flows is how many flows a (model, class) has; a flow is 0 … Flows−1.
const Flows = 16

// flowMessages is how many of a conversation's first messages tell it from
// others where the agent is not known: a conversation keeps them as it grows,
// and two conversations rarely share the system prompt and the first question.
const flowMessages = 2

// Flow returns the flow of a job: a hash of the owner and the agent where the
// agent is known, else of the owner and the conversation's first messages, or a
// completion's prompts. The same agent, or the same growing conversation, always
// gets the same flow.
func Flow(owner string, job schemas.Job) int {
	h := sha256.New()
	// Each part is preceded by its length, so that no two lists of parts hash
	// the same bytes.
	part := func(s string) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	part(owner)
	switch {
	case job.Agent != "":
		part("agent")
		part(job.Agent)
	case job.Kind == schemas.KindCompletion:
		part("completion")
		for _, p := range job.Prompts {
			part(p.Text)
			part(fmt.Sprint(p.Tokens))
		}
	default:
		part("conversation")
		for i, m := range job.Messages {
			if i == flowMessages {
				break
			}
			part(string(m.Role))
			part(m.Content)
		}
	}
	return int(h.Sum(nil)[0]) % Flows
}
