package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/disk"
	"github.com/semantic-worker/semantic/schemas"
)

// Format is the version of the JSON form of a [Report].
const Format = 1

// Report is what a load found.
type Report struct {
	Format int `json:"format"`
	// Release is that of the program that put the load on.
	Release string `json:"release"`
	// MadeAt is the start, UTC.
	MadeAt  time.Time `json:"made_at"`
	Machine Machine   `json:"machine"`
	Target  Served    `json:"target"`
	Load    Load      `json:"load"`
	// Interrupted: the load was stopped before it was done; the last round may be
	// shorter than the others.
	Interrupted bool `json:"interrupted,omitempty"`
	// All is every round together.
	All    Figures `json:"all"`
	Rounds []Round `json:"rounds"`

	// series is what the plot shows over time; of a report that was run here only.
	series []sample
	gaps   *histogram
}

// Served says what was measured.
type Served struct {
	// By is http or nats.
	By string `json:"by"`
	// Release is that of the server, if it says so.
	Release string `json:"release,omitempty"`
	Model   string `json:"model"`
	// Workers are those that served the model at the start.
	Workers []ServedBy `json:"workers"`
}

// ServedBy is a worker of the model.
type ServedBy struct {
	Backend      string `json:"backend"`
	Quantisation string `json:"quantisation,omitempty"`
	Fingerprint  string `json:"fingerprint"`
	// Context is the longest sequence in tokens, Capacity how many run at once.
	Context  int `json:"context"`
	Capacity int `json:"capacity"`
}

// Load is a [Config] as it is written down.
type Load struct {
	Scenario    Scenario      `json:"scenario"`
	Prompts     string        `json:"prompts,omitempty"`
	Rate        float64       `json:"rate,omitempty"`
	Arrivals    Arrivals      `json:"arrivals,omitempty"`
	Concurrency int           `json:"concurrency,omitempty"`
	WarmUp      float64       `json:"warmup_seconds"`
	Duration    float64       `json:"duration_seconds"`
	Rounds      int           `json:"rounds"`
	Timeout     float64       `json:"timeout_seconds"`
	MaxTokens   int           `json:"max_tokens"`
	Words       int           `json:"words,omitempty"`
	Class       schemas.Class `json:"class,omitempty"`
	Seed        uint64        `json:"seed"`
}

func loadOf(c Config, prompts string) Load {
	l := Load{
		Scenario: c.Scenario, Prompts: prompts, Rate: c.Rate, WarmUp: c.WarmUp.Seconds(), Duration: c.Duration.Seconds(), Rounds: c.Rounds,
		Timeout: c.Timeout.Seconds(), MaxTokens: c.MaxTokens, Class: c.Class, Seed: c.Seed,
	}
	if c.Rate > 0 {
		l.Arrivals = c.arrivals()
	} else {
		l.Concurrency = c.Concurrency
	}
	if c.Scenario == ScenarioLongPrompt || c.Scenario == ScenarioSharedPrefix {
		l.Words = c.Words
	}
	return l
}

// String is the load for people: 8 users, or 2.5 requests a second.
func (l Load) String() string {
	switch {
	case l.Rate > 0:
		return fmt.Sprintf("%v requests a second (%s)", l.Rate, l.Arrivals)
	case l.Concurrency == 1:
		return "1 user"
	default:
		return fmt.Sprintf("%d users", l.Concurrency)
	}
}

// Round is one of the rounds.
type Round struct {
	Start time.Time `json:"start"`
	Seed  uint64    `json:"seed"`
	Figures
}

// Figures are what users felt. Times that nobody could tell are absent.
type Figures struct {
	// Seconds is how long the load counted.
	Seconds float64 `json:"seconds"`
	// Requests were due in that time; of them OK were answered in full, and the
	// others ended by their code in Errors.
	Requests int            `json:"requests"`
	OK       int            `json:"ok"`
	Errors   map[string]int `json:"errors,omitempty"`
	// Cut is how many more were under way when the load was stopped. They are in no
	// figure, so the latencies of such a load are those of its quicker requests.
	Cut int `json:"cut,omitempty"`
	// Requests and tokens that were answered in that time, a second. A token counts
	// when it arrives, whenever its request was due.
	RequestsPerSecond float64 `json:"requests_per_second"`
	TokensPerSecond   float64 `json:"tokens_per_second"`
	// Tokens of the requests that were answered in full; CachedTokens is how many of
	// the prompts' were not computed.
	PromptTokens     int `json:"prompt_tokens"`
	CachedTokens     int `json:"cached_tokens"`
	CompletionTokens int `json:"completion_tokens"`

	// FirstToken is until the first output, InterToken between one piece of output
	// and the next, EndToEnd the whole request; LessDecode is that without the time
	// from the first to the last token.
	FirstToken *Quantiles `json:"time_to_first_token_ms,omitempty"`
	InterToken *Quantiles `json:"inter_token_ms,omitempty"`
	EndToEnd   *Quantiles `json:"end_to_end_ms,omitempty"`
	LessDecode *Quantiles `json:"less_decode_ms,omitempty"`
	// QueueWait is from the store of the request to its last claim, Prefill from
	// there to the first new token, as the server says at the end of an answer.
	QueueWait *Quantiles `json:"queue_wait_ms,omitempty"`
	Prefill   *Quantiles `json:"prefill_ms,omitempty"`
	// Late is how much later than due an open loop sent its requests.
	Late *Quantiles `json:"late_ms,omitempty"`

	// Classes are the same by priority class, where there are several.
	Classes map[schemas.Class]Figures `json:"classes,omitempty"`
}

// Failed is how many requests were not answered in full.
func (f Figures) Failed() int { return f.Requests - f.OK }

// ReadReport reads a report from a file.
func ReadReport(path string) (*Report, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the file
	}
	r := new(Report)
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s is no report of a load: %w", path, err)
	}
	switch {
	case r.Format == 0 || len(r.Rounds) == 0:
		return nil, fmt.Errorf("%s is no report of a load", path)
	case r.Format != Format:
		return nil, fmt.Errorf("%s is a report of format %d, this release reads %d", path, r.Format, Format)
	}
	return r, nil
}

// Write writes NAME.json, NAME.md, NAME.svg and NAME.requests.jsonl.
func (r *Report) Write(name string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	for _, f := range []struct {
		ending string
		text   []byte
	}{
		{".requests.jsonl", r.requests()},
		{".svg", r.SVG()},
		{".md", r.Markdown(name)},
		{".json", append(text, '\n')},
	} {
		if err := disk.WriteFile(name+f.ending, f.text); err != nil {
			return err
		}
	}
	return nil
}
