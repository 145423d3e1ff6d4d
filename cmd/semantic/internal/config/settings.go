package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/gateway"
	"github.com/semantic-worker/semantic/queue"
)

// setting is one entry of the list that everything is made from. Its type is
// that of its default.
type setting struct {
	key    string
	preset any // string, int, float64, bool, time.Duration, []string or []Alias
	usage  string
	// secret values are masked by `config show`.
	secret bool
	// check refuses values of the right type that do not fit; nil allows all.
	check func(value any) error
}

// LongestDeadline is the longest that a request may wait and run.
const LongestDeadline = 24 * time.Hour

// mostRetention is the longest that a job's events may be kept after its end.
const mostRetention = 7 * 24 * time.Hour

// maxJob is the largest job that the queue takes.
const maxJob = 64 << 20

// settings are all settings, in the order of `config show`.
func settings() []setting {
	steps := engine.DefaultConfig()
	return []setting{
		{key: "log-level", preset: "info", usage: "least `LEVEL` of log lines: debug, info, warn or error", check: isLevel},
		{key: "log-format", preset: "auto", usage: "`FORMAT` of log lines: console, json, or auto (console on a terminal)",
			check: oneOf("auto", "console", "json")},
		{key: "log-file", preset: "",
			usage: "`FILE` for log lines, instead of the error output; archived daily and at 100 MB, kept for 7 days"},
		{key: "log-content", preset: false,
			usage: "log prompts and answers too, for debugging: whoever reads the logs reads what users wrote"},
		{key: "data-dir", preset: "", usage: "`DIR` of the queue's store and the worker's identity (default: data in semantic's home)"},

		{key: "host", preset: "127.0.0.1", usage: "`ADDRESS` that the HTTP gateway listens on", check: isHost},
		{key: "port", preset: 8000, usage: "TCP `PORT` of the HTTP gateway; 0 takes a free one", check: between(0, 65535)},
		{key: "allow-remote", preset: false, usage: "let --host be other than loopback; needs an API key or --no-auth"},
		{key: "api-key", preset: "", usage: "API `KEY`; better in SEMANTIC_API_KEY or a file, which ps does not show", secret: true},
		{key: "api-key-file", preset: "", usage: "`FILE` with API keys, one a line"},
		{key: "no-auth", preset: false, usage: "serve other machines without an API key"},
		{key: "tls-cert", preset: "", usage: "PEM `FILE` with the gateway's certificate chain; needs --tls-key"},
		{key: "tls-key", preset: "", usage: "PEM `FILE` with the key of --tls-cert"},
		{key: "unknown-fields", preset: "refuse", usage: "`ACTION` on request fields that nobody knows: refuse (400) or warn",
			check: oneOf("refuse", "warn")},
		{key: "aliases", preset: []Alias(nil), usage: "answer requests for other models: `PATTERN=MODEL`, as in gpt-*=smollm2-135m-instruct",
			check: areAliases},
		{key: "allowed-hosts", preset: []string(nil), usage: "`NAMES` accepted in the Host header beside loopback and --host"},
		{key: "allowed-origins", preset: []string(nil), usage: "`ORIGINS` of web pages that may call the gateway (CORS)", check: areOrigins},
		{key: "admin-addr", preset: "", check: isAdminAddr,
			usage: "`ADDRESS:PORT` of the admin interface; off for none (default: loopback, the port above --port or another that is free)"},
		{key: "admin-key-file", preset: "",
			usage: "`FILE` with keys of the admin interface, one a line, each with a name behind it or not " +
				"(default: admin.key in --data-dir, made at the first start)"},
		{key: "admin-url", preset: "", check: isHTTPURL,
			usage: "`URL` of the admin interface that commands ask (default: that of the server on this machine with this --data-dir)"},
		{key: "default-deadline", preset: 10 * time.Minute, usage: "`TIME` a request may wait and run if it does not say",
			check: within(time.Second, LongestDeadline)},
		{key: "event-retention", preset: queue.DefaultConfig().EventRetention, check: within(time.Second, mostRetention),
			usage: "`TIME` a job's events are kept after its end; until then its stream can be read again, and its Idempotency-Key is known"},
		{key: "model-grace", preset: queue.DefaultConfig().ModelGrace, check: within(0, LongestDeadline),
			usage: "`TIME` a stored job waits for a model that no worker has announced, before it fails"},
		{key: "drain-timeout", preset: 30 * time.Second, usage: "`TIME` running requests get at the stop before they are handed back",
			check: atLeast(0)},
		{key: "max-body", preset: 4 << 20, usage: "most `BYTES` of an HTTP request's body", check: between(1, maxJob)},
		{key: "max-open-streams", preset: gateway.DefaultConfig().MaxOpenStreams, check: between(1, 1<<30),
			usage: "most `REQUESTS` that wait for their answers at once; more are refused with 429"},
		{key: "refuse-late", preset: false,
			usage: "refuse a request at once that should not have its turn before its deadline, as fast as the queue moves"},
		{key: "inline-bytes", preset: int(queue.DefaultConfig().InlineBytes), check: between(1<<10, 4<<20),
			usage: "most `BYTES` of a job that waits in the queue itself; a larger one waits in the object store"},

		{key: "nats", preset: "nats://127.0.0.1:4222", usage: "`URL` of the NATS server", check: isNATSURL},
		{key: "nats-host", preset: "127.0.0.1", usage: "`ADDRESS` that the embedded NATS server listens on", check: isHost},
		{key: "nats-port", preset: 4222, usage: "TCP `PORT` of the embedded NATS server; 0 takes a free one", check: between(0, 65535)},
		{key: "nats-token-file", preset: "", usage: "`FILE` with the token of the NATS server"},
		{key: "nats-creds", preset: "",
			usage: "NATS credentials `FILE`; one of `semantic nats init` has the server's address and authority, too"},
		{key: "nats-ca", preset: "", usage: "PEM `FILE` with the authority that signed the NATS server's certificate"},
		{key: "no-nats-auth", preset: false, usage: "let other machines use the embedded NATS server without a token"},
		{key: "cluster", preset: "",
			usage: "`DIR` of this machine's broker, made by `semantic nats init`: address, TLS, who may do what and, of three, the others"},
		{key: "replicas", preset: 0, check: isReplicas, usage: "`COPIES` of every stream: 1, 3 or 5; 0 is 3 in a cluster, else 1"},
		{key: "reply-prefixes", preset: []string(nil),
			usage: "`PREFIXES` of subjects, as in replies.{owner}., that a job's reply_to may name besides its owner's inbox",
			check: areReplyPrefixes},
		{key: "sync", preset: "interval",
			usage: "`WHEN` the queue's store is flushed to the disk: interval, or always (safe against power loss, slower)",
			check: oneOf("interval", "always")},
		{key: "sync-interval", preset: time.Second, usage: "`TIME` between flushes of the queue's store", check: atLeast(10 * time.Millisecond)},
		{key: "ack-wait", preset: queue.DefaultConfig().AckWait, check: within(100*time.Millisecond, 10*time.Minute),
			usage: "`TIME` without a sign of life of a worker after which others take its requests; the same for all workers"},
		{key: "steal-after", preset: queue.DefaultConfig().StealAfter, check: within(0, time.Minute),
			usage: "`TIME` a request is left to the worker that has its agent's cache, while that is busy, before another takes it"},

		{key: "url", preset: "", usage: "`URL` of the gateway that chat talks to (default: the one that host and port say)", check: isHTTPURL},

		{key: "model", preset: "", usage: "`MODEL`: a name of `semantic model list` or the path of a GGUF file (default: the default model)"},
		{key: "backend", preset: "auto", usage: "`BACKEND` that computes: auto, metal, cpu, or sim (no model: made-up text)",
			check: oneOf("auto", "metal", "cpu", "sim")},
		{key: "ctx", preset: 0, usage: "context length in `TOKENS`; 0 takes what fits in free memory, at most the model's own",
			check: between(0, 16<<20)},
		{key: "parallel", preset: 0, usage: "`SEQUENCES` that run at once; 0 lets the backend choose", check: between(0, 255)},
		{key: "kv-type", preset: "", usage: "`TYPE` of the KV cache: f16, q8_0 or q4_0 (default f16)", check: oneOf("", "f16", "q8_0", "q4_0")},
		{key: "gpu-layers", preset: -1, usage: "`LAYERS` of the model on the GPU; -1 is all", check: between(-1, 10000)},
		{
			key: "threads", preset: 0, check: between(0, 1024),
			usage: "`THREADS` of the CPU backend; 0 measures, and gives way to what else needs the cores",
		},
		{key: "sim-step", preset: time.Duration(0), usage: "`TIME` of one decoding step of the sim backend", check: atLeast(0)},
		{key: "sim-prefill-rate", preset: 0, usage: "prompt `TOKENS` a second of the sim backend; 0 is unbounded", check: between(0, 1<<30)},
		{key: "batch-window", preset: steps.BatchWindow,
			usage: "`TIME` an idle worker waits for more requests before it starts one: fuller batches, later first tokens",
			check: within(0, time.Minute)},
		{key: "inter-token-bound", preset: steps.InterTokenBound, check: isFactor,
			usage: "how many `TIMES` as long a step may take that reads prompts beside running answers, which it slows down"},
		{key: "buffer-tokens", preset: steps.BufferTokens, check: between(1, 1<<20),
			usage: "`TOKENS` of an answer that may wait to be stored in the queue; it pauses while there are so many"},
		{key: "buffer-bytes", preset: steps.BufferBytes, check: between(1, 1<<30),
			usage: "the same in `BYTES` of text"},
		{key: "slow-consumer-timeout", preset: steps.SlowConsumerTimeout, check: atLeast(time.Millisecond),
			usage: "`TIME` an answer may be paused so before its request is handed back to the queue"},
		{key: "metrics-addr", preset: "", check: isListen,
			usage: "`ADDRESS:PORT` where the worker serves /metrics and /health; empty serves none"},
		{key: "ready-pool-threshold", preset: 0.9, check: isShare,
			usage: "`SHARE` of a worker's KV cells in use above which it is not ready, and no gateway counts on it"},
		{key: "step-timeout", preset: 5 * time.Minute,
			usage: "`TIME` one step of the model may take before the worker ends itself as hung; 0 is never", check: zeroOrAtLeast(leastWatch)},
		{key: "max-attempts", preset: 3, check: between(1, 100),
			usage: "how many `WORKERS` may die on a request before it is given up (see `semantic dead`)"},
		{key: "no-prevent-sleep", preset: false,
			usage: "let a Mac go to sleep by itself also while jobs run or a model loads; other systems are never held off"},
		{key: "hang-timeout", preset: 30 * time.Second,
			usage: "`TIME` the worker process may be without a sign of life before it is killed and started again; 0 is never",
			check: zeroOrAtLeast(leastWatch)},
	}
}

func find(key string) (setting, bool) {
	all := settings()
	i := slices.IndexFunc(all, func(s setting) bool { return s.key == key })
	if i < 0 {
		return setting{}, false
	}
	return all[i], true
}

// env is the setting's environment variable.
func (s setting) env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(s.key, "-", "_"))
}

// parse brings a value of the YAML file, the environment or a flag to the
// setting's type and checks it.
func (s setting) parse(raw any) (any, error) {
	value, err := s.convert(raw)
	if err != nil {
		return nil, err
	}
	if s.check != nil {
		if err := s.check(value); err != nil {
			return nil, err
		}
	}
	return value, nil
}

func (s setting) convert(raw any) (any, error) {
	text, isText := raw.(string)
	switch s.preset.(type) {
	case string:
		switch v := raw.(type) {
		case string:
			return v, nil
		case int, int64, float64: // `model: 7` means the name "7"
			return fmt.Sprint(v), nil
		}
		return nil, fmt.Errorf("want a text, got %s", describe(raw))
	case int:
		if v, ok := raw.(int); ok {
			return v, nil
		}
		if isText {
			if v, err := strconv.Atoi(strings.TrimSpace(text)); err == nil {
				return v, nil
			}
		}
		return nil, fmt.Errorf("want a whole number, got %s", describe(raw))
	case float64:
		switch v := raw.(type) {
		case float64:
			return v, nil
		case int:
			return float64(v), nil
		case string:
			if v, err := strconv.ParseFloat(strings.TrimSpace(v), 64); err == nil {
				return v, nil
			}
		}
		return nil, fmt.Errorf("want a number, got %s", describe(raw))
	case bool:
		if v, ok := raw.(bool); ok {
			return v, nil
		}
		if isText {
			if v, err := strconv.ParseBool(strings.TrimSpace(text)); err == nil {
				return v, nil
			}
		}
		return nil, fmt.Errorf("want true or false, got %s", describe(raw))
	case time.Duration:
		if v, ok := raw.(time.Duration); ok {
			return v, nil
		}
		if isText {
			if v, err := time.ParseDuration(strings.TrimSpace(text)); err == nil {
				return v, nil
			}
		}
		if raw == 0 {
			return time.Duration(0), nil
		}
		return nil, fmt.Errorf("want a time with its unit like 30s or 10m, got %s", describe(raw))
	case []string:
		return toStrings(raw)
	case []Alias:
		return toAliases(raw)
	}
	return nil, fmt.Errorf("setting %s has no known type", s.key)
}

func describe(raw any) string {
	switch v := raw.(type) {
	case nil:
		return "nothing"
	case string:
		return strconv.Quote(v)
	case []any:
		return "a list"
	case map[string]any:
		return "a mapping"
	default:
		return fmt.Sprint(v)
	}
}

// toStrings reads a list: a YAML list, or a text with commas.
func toStrings(raw any) (any, error) {
	var list []string
	switch v := raw.(type) {
	case []string:
		return v, nil
	case string:
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimSpace(part); part != "" {
				list = append(list, part)
			}
		}
		return list, nil
	case []any:
		for i, item := range v {
			text, ok := item.(string)
			if !ok || text == "" {
				return nil, fmt.Errorf("[%d]: want a text, got %s", i, describe(item))
			}
			list = append(list, text)
		}
		return list, nil
	}
	return nil, fmt.Errorf("want a list of texts, got %s", describe(raw))
}

// toAliases reads a YAML list of {pattern, model} or PATTERN=MODEL, or such
// texts with commas.
func toAliases(raw any) (any, error) {
	list, isList := raw.([]any)
	if !isList {
		texts, err := toStrings(raw)
		if err != nil {
			return nil, fmt.Errorf("want a list of pattern and model, got %s", describe(raw))
		}
		for _, t := range texts.([]string) {
			list = append(list, t)
		}
	}
	var aliases []Alias
	for i, item := range list {
		alias, err := toAlias(item)
		if err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
		aliases = append(aliases, alias)
	}
	return aliases, nil
}

func toAlias(item any) (Alias, error) {
	switch v := item.(type) {
	case string:
		pattern, model, ok := strings.Cut(v, "=")
		if !ok {
			return Alias{}, fmt.Errorf("want PATTERN=MODEL, got %q", v)
		}
		return Alias{Pattern: strings.TrimSpace(pattern), Model: strings.TrimSpace(model)}, nil
	case map[string]any:
		var a Alias
		for key, value := range v {
			text, ok := value.(string)
			switch {
			case key != "pattern" && key != "model":
				return Alias{}, fmt.Errorf("unknown key %q: use pattern and model", key)
			case !ok:
				return Alias{}, fmt.Errorf("%s: want a text, got %s", key, describe(value))
			case key == "pattern":
				a.Pattern = text
			default:
				a.Model = text
			}
		}
		return a, nil
	}
	return Alias{}, fmt.Errorf("want pattern and model, got %s", describe(item))
}
