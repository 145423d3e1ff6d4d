package gateway

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// UnknownFields says what becomes of a request field that no release knows.
const (
	// UnknownFieldsRefuse answers 400 unknown_parameter, as OpenAI does.
	UnknownFieldsRefuse = "refuse"
	// UnknownFieldsWarn ignores the field and names it in the
	// X-Semantic-Warning header and in the log.
	UnknownFieldsWarn = "warn"
)

// Alias maps requested model names to a model.
type Alias struct {
	// Pattern is matched against the requested name as path.Match does: "*"
	// stands for any run of characters except "/".
	Pattern string
	// Model is the plain name of the model that answers.
	Model string
}

// Config is what an operator decides about a gateway. The zero value of a
// field is not its default: begin with [DefaultConfig].
type Config struct {
	// APIKeys are the keys that a client must bring one of, as a bearer token
	// or in the api-key or x-api-key header. Empty: everybody is served, as the
	// owner "local". Default: empty.
	APIKeys []string
	// AllowedHosts are names that a request's Host may have besides localhost
	// and IP addresses (a rebound DNS name is never an address). Without port;
	// ".example.com" allows every name below example.com, "*" any name at all.
	// Default: empty.
	AllowedHosts []string
	// AllowedOrigins are the web origins (scheme://host[:port]) besides the
	// gateway's own from which browsers may call; for these CORS is answered.
	// "*" allows every origin. Default: empty, so CORS is off.
	AllowedOrigins []string
	// UnknownFields is [UnknownFieldsRefuse] or [UnknownFieldsWarn]. Default: refuse.
	UnknownFields string
	// Aliases are tried in order after the exact names of known models; the
	// first match wins. Default: empty.
	Aliases []Alias
	// MaxBodyBytes bounds a request body; a larger one is refused with 413.
	// Default: 4 MiB.
	MaxBodyBytes int64
	// MaxOpenStreams is how many requests may wait for their jobs at once, streamed
	// or not; more are refused with 429 too_many_streams. Default: 10,000.
	MaxOpenStreams int
	// RefuseLate refuses a job at once, with 504 deadline_exceeded, that should not
	// have its turn before its deadline, by how fast jobs have left its class of
	// late. Default: false.
	RefuseLate bool
	// MaxHeaderBytes bounds a request's headers; net/http answers more with 431.
	// Default: 64 KiB.
	MaxHeaderBytes int
	// HeaderTimeout is how long a client may take to send its headers.
	// Default: 10 s.
	HeaderTimeout time.Duration
	// BodyTimeout is how long a client may take to send its body. Default: 30 s.
	BodyTimeout time.Duration
	// WriteTimeout is how long one write to a client may block before the
	// client counts as gone. It does not bound a whole response. Default: 30 s.
	WriteTimeout time.Duration
	// IdleTimeout is how long a connection is kept between requests.
	// Default: 2 min.
	IdleTimeout time.Duration
	// KeepAlive is the longest silence on a stream: after it a comment is sent.
	// Default: 10 s.
	KeepAlive time.Duration
	// StatusHold is how long the head of a stream (its status, and the job's id)
	// waits for a worker to take up the job, so that a job which a worker refuses
	// at once has the HTTP status of its error. 0 sends the head as soon as the
	// job is stored. Default: 500 ms.
	StatusHold time.Duration
	// ResumeGrace is how long a client whose request was resumable may be away
	// before its job is cancelled. Default: 30 s.
	ResumeGrace time.Duration
	// DefaultDeadline is a job's deadline where the request names none.
	// Default: 10 min.
	DefaultDeadline time.Duration
	// DefaultBatchDeadline is the same for class batch. Default: 24 h.
	DefaultBatchDeadline time.Duration
	// MaxDeadline is the longest deadline a request may name. Default: 24 h.
	MaxDeadline time.Duration
	// DeadlineGrace is how long past its deadline a running job's worker may
	// take to end it by itself (and so report its usage) before the gateway
	// does. Default: 2 s.
	DeadlineGrace time.Duration
	// QueueTimeout bounds each call to the queue that must not hang on a broker
	// that is away: submit, cancel, expire, and reading the registry.
	// Default: 5 s.
	QueueTimeout time.Duration
	// ReadyPoolThreshold is the share of a worker's cells in use, 0 … 1, above which
	// it is not ready. Without a worker that is, /health/ready says 503; requests
	// are taken all the same, and wait. Default: 0.9.
	ReadyPoolThreshold float64
	// Release is the version of the binary, shown by the health routes.
	// Default: "dev".
	Release string
}

// DefaultConfig is a gateway for one machine: loopback only, no keys, no CORS.
func DefaultConfig() Config {
	return Config{
		UnknownFields:        UnknownFieldsRefuse,
		MaxBodyBytes:         4 << 20,
		MaxOpenStreams:       10_000,
		MaxHeaderBytes:       64 << 10,
		HeaderTimeout:        10 * time.Second,
		BodyTimeout:          30 * time.Second,
		WriteTimeout:         30 * time.Second,
		IdleTimeout:          2 * time.Minute,
		KeepAlive:            10 * time.Second,
		StatusHold:           500 * time.Millisecond,
		ResumeGrace:          30 * time.Second,
		DefaultDeadline:      10 * time.Minute,
		DefaultBatchDeadline: 24 * time.Hour,
		MaxDeadline:          24 * time.Hour,
		DeadlineGrace:        2 * time.Second,
		QueueTimeout:         5 * time.Second,
		ReadyPoolThreshold:   0.9,
		Release:              "dev",
	}
}

// Validate reports every fault at once; each wraps [ErrInvalidConfig] and
// names its field.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrInvalidConfig}, args...)...))
	}

	for i, key := range c.APIKeys {
		if !printable(key) {
			bad("APIKeys[%d]: a key is one or more printable ASCII characters without spaces", i)
		}
	}
	for i, host := range c.AllowedHosts {
		if host == "" || (host != "*" && strings.ContainsAny(host, "/*: ")) {
			bad("AllowedHosts[%d]: %q is not a host name, .domain or *", i, host)
		}
	}
	for i, origin := range c.AllowedOrigins {
		if !validOrigin(origin) {
			bad("AllowedOrigins[%d]: %q is not scheme://host[:port] or *", i, origin)
		}
	}
	if c.UnknownFields != UnknownFieldsRefuse && c.UnknownFields != UnknownFieldsWarn {
		bad("UnknownFields: %q is neither %q nor %q", c.UnknownFields, UnknownFieldsRefuse, UnknownFieldsWarn)
	}
	for i, alias := range c.Aliases {
		if _, err := path.Match(alias.Pattern, ""); err != nil || alias.Pattern == "" {
			bad("Aliases[%d]: %q is not a pattern", i, alias.Pattern)
		}
		if alias.Model == "" {
			bad("Aliases[%d]: no model", i)
		}
	}
	if c.MaxBodyBytes < 1 {
		bad("MaxBodyBytes: %d is less than 1", c.MaxBodyBytes)
	}
	if c.MaxOpenStreams < 1 {
		bad("MaxOpenStreams: %d is less than 1", c.MaxOpenStreams)
	}
	if c.MaxHeaderBytes < 1 {
		bad("MaxHeaderBytes: %d is less than 1", c.MaxHeaderBytes)
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"HeaderTimeout", c.HeaderTimeout},
		{"BodyTimeout", c.BodyTimeout},
		{"WriteTimeout", c.WriteTimeout},
		{"IdleTimeout", c.IdleTimeout},
		{"KeepAlive", c.KeepAlive},
		{"ResumeGrace", c.ResumeGrace},
		{"DefaultDeadline", c.DefaultDeadline},
		{"DefaultBatchDeadline", c.DefaultBatchDeadline},
		{"MaxDeadline", c.MaxDeadline},
		{"DeadlineGrace", c.DeadlineGrace},
		{"QueueTimeout", c.QueueTimeout},
	} {
		if d.value <= 0 {
			bad("%s: %v is not positive", d.name, d.value)
		}
	}
	if c.StatusHold < 0 {
		bad("StatusHold: %v is negative", c.StatusHold)
	}
	if c.DefaultDeadline > c.MaxDeadline {
		bad("DefaultDeadline: %v is longer than MaxDeadline %v", c.DefaultDeadline, c.MaxDeadline)
	}
	if c.DefaultBatchDeadline > c.MaxDeadline {
		bad("DefaultBatchDeadline: %v is longer than MaxDeadline %v", c.DefaultBatchDeadline, c.MaxDeadline)
	}
	if longest := schemas.MaxDeadlineMS * time.Millisecond; c.MaxDeadline > longest {
		bad("MaxDeadline: %v is longer than any job's, %v", c.MaxDeadline, longest)
	}
	if !(c.ReadyPoolThreshold > 0 && c.ReadyPoolThreshold <= 1) {
		bad("ReadyPoolThreshold: %v is not above 0 and at most 1", c.ReadyPoolThreshold)
	}
	return errors.Join(errs...)
}

// printable reports whether text is one or more printable ASCII characters without
// spaces.
func printable(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}

// validOrigin accepts what a browser sends in Origin, "null" excepted: a page
// without an origin could be anybody's.
func validOrigin(origin string) bool {
	if origin == "*" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Scheme != "" && u.Host != "" && u.User == nil &&
		u.Path == "" && u.RawQuery == "" && u.Fragment == ""
}
