package bench

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// Scenario names what is asked.
type Scenario string

// The scenarios.
const (
	// ScenarioChat: short questions that have nothing in common.
	ScenarioChat Scenario = "chat"
	// ScenarioAgents: agents whose conversations grow with every answer, by turns of
	// 8, each under its own name.
	ScenarioAgents Scenario = "agents"
	// ScenarioLongPrompt: a long text, another one each time, and a short answer.
	ScenarioLongPrompt Scenario = "long-prompt"
	// ScenarioBurst: chat, many at the same moment, then none for a while.
	ScenarioBurst Scenario = "burst"
	// ScenarioSharedPrefix: short questions behind the same long text.
	ScenarioSharedPrefix Scenario = "shared-prefix"
	// ScenarioMixedClasses: chat, a third in each priority class.
	ScenarioMixedClasses Scenario = "mixed-classes"
	// ScenarioFile: the prompts of a file, one after the other, again and again.
	ScenarioFile Scenario = "file"
)

// Scenarios lists those that can be named; ScenarioFile is named by its file.
func Scenarios() []Scenario {
	return []Scenario{ScenarioChat, ScenarioAgents, ScenarioLongPrompt, ScenarioBurst, ScenarioSharedPrefix, ScenarioMixedClasses}
}

// Arrivals says how the times of an open loop are drawn.
type Arrivals string

// The kinds of arrivals.
const (
	// ArrivalsPoisson: independent of each other, as of many users.
	ArrivalsPoisson Arrivals = "poisson"
	// ArrivalsConstant: one each 1/Rate seconds.
	ArrivalsConstant Arrivals = "constant"
	// ArrivalsBurst: BurstSize at once, each BurstSize/Rate seconds.
	ArrivalsBurst Arrivals = "burst"
)

// BurstSize is how many requests come at once in bursts.
const BurstSize = 16

// Bounds of a load.
const (
	mostRequests = 200_000
	mostUsers    = 10_000
	mostRounds   = 30
	mostTokens   = 1 << 20
	mostWords    = 1 << 18
	mostTime     = 24 * time.Hour
)

// Config is a load. Start from [DefaultConfig].
type Config struct {
	// Scenario is what is asked. Default chat.
	Scenario Scenario
	// Rate is how many requests a second come, whatever becomes of them; at most
	// 200,000 of them in a round. 0: Concurrency says.
	Rate float64
	// Arrivals is how their times are drawn. "": poisson, in the scenario burst
	// burst. Only with Rate.
	Arrivals Arrivals
	// Concurrency is how many users ask, each again when it was answered: 1 …
	// 10,000. Default 1. Only without Rate. In the scenario burst all ask at the
	// same moment, and again when the last one was answered.
	Concurrency int
	// WarmUp is how long is asked before it counts; 0 or more. Default 5 s.
	WarmUp time.Duration
	// Duration is how long is asked so that it counts, of each round. Positive.
	// Default 30 s.
	Duration time.Duration
	// Rounds is how often all that is done: 1 … 30. Default 1. A comparison needs 4.
	Rounds int
	// Timeout is after how long a request is cut. Positive. Default 2 min.
	Timeout time.Duration
	// MaxTokens is the longest answer. Lengths are drawn between the half of it and
	// the whole, and are kept to: models do not end by themselves. Positive. Default
	// 64. Of ScenarioFile it is the longest answer of lines that name none, and models
	// end when they like.
	MaxTokens int
	// Words is the length of the long part of long-prompt and shared-prefix prompts.
	// Positive. Default 1,000: about 1,300 tokens.
	Words int
	// Class is the priority class of all requests. "": what the server does with
	// those that name none. Not with mixed-classes.
	Class schemas.Class
	// Seed draws times, prompts and lengths; round r draws from Seed + r.
	Seed uint64
}

// DefaultConfig returns the defaults named at the fields.
func DefaultConfig() Config {
	return Config{
		Scenario: ScenarioChat, Concurrency: 1, WarmUp: 5 * time.Second, Duration: 30 * time.Second, Rounds: 1,
		Timeout: 2 * time.Minute, MaxTokens: 64, Words: 1000, Seed: 1,
	}
}

// FieldError names what of a load, or of a prompt, is wrong.
type FieldError struct {
	// Field is the name of the flag without its dashes, or a line and a field of the
	// file of prompts.
	Field string
	// Reason goes on where the name ends.
	Reason string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Reason }

func wrong(field, format string, args ...any) error {
	return &FieldError{Field: field, Reason: fmt.Sprintf(format, args...)}
}

// Validate returns a [*FieldError] for the first field that is out of range.
func (c Config) Validate() error {
	if c.Scenario != ScenarioFile && !slices.Contains(Scenarios(), c.Scenario) {
		return wrong("scenario", "%q is not %s", c.Scenario, list(Scenarios()))
	}
	all := []Arrivals{"", ArrivalsPoisson, ArrivalsConstant, ArrivalsBurst}
	if !slices.Contains(all, c.Arrivals) {
		return wrong("arrivals", "%q is not %s", c.Arrivals, list(all[1:]))
	}
	for _, t := range []struct {
		field       string
		value, from time.Duration
	}{
		{"duration", c.Duration, 100 * time.Millisecond},
		{"warmup", c.WarmUp, 0},
		{"timeout", c.Timeout, 100 * time.Millisecond},
	} {
		if t.value < t.from || t.value > mostTime {
			return wrong(t.field, "%s is not between %s and %s", t.value, t.from, mostTime)
		}
	}
	for _, n := range []struct {
		field       string
		value, most int
	}{
		{"rounds", c.Rounds, mostRounds},
		{"max-tokens", c.MaxTokens, mostTokens},
		{"words", c.Words, mostWords},
	} {
		if n.value < 1 || n.value > n.most {
			return wrong(n.field, "%d is not between 1 and %d", n.value, n.most)
		}
	}
	if c.Class != "" && !slices.Contains(schemas.Classes(), c.Class) {
		return wrong("class", "%q is not %s", c.Class, list(schemas.Classes()))
	}
	if c.Class != "" && c.Scenario == ScenarioMixedClasses {
		return wrong("class", "has no meaning with --scenario %s", c.Scenario)
	}
	return c.validateLoop()
}

func (c Config) validateLoop() error {
	switch open := c.Rate != 0; {
	case open && (!(c.Rate > 0) || math.IsInf(c.Rate, 0)): // NaN is no rate
		return wrong("rate", "%v is not more than 0", c.Rate)
	case open && c.Rate*(c.WarmUp+c.Duration).Seconds() > mostRequests:
		return wrong("rate", "%v a second makes more than %d requests in a round", c.Rate, mostRequests)
	case !open && (c.Concurrency < 1 || c.Concurrency > mostUsers):
		return wrong("concurrency", "%d is not between 1 and %d", c.Concurrency, mostUsers)
	case !open && c.Arrivals != "":
		return wrong("arrivals", "has no meaning without --rate")
	}
	return nil
}

// arrivals is what "" stands for.
func (c Config) arrivals() Arrivals {
	switch {
	case c.Arrivals != "":
		return c.Arrivals
	case c.Scenario == ScenarioBurst:
		return ArrivalsBurst
	}
	return ArrivalsPoisson
}

// list names values for people: a, b or c.
func list[T ~string](values []T) string {
	var b strings.Builder
	for i, v := range values {
		switch {
		case i > 0 && i == len(values)-1:
			b.WriteString(" or ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(string(v))
	}
	return b.String()
}
