package config

import "time"

// Config holds every setting. The koanf tag is the setting's name; [settings]
// has its default, its meaning and its check.
type Config struct {
	LogLevel  string `koanf:"log-level"`
	LogFormat string `koanf:"log-format"`
	LogFile   string `koanf:"log-file"`
	// LogContent puts what users send and get into the logs.
	LogContent bool   `koanf:"log-content"`
	DataDir    string `koanf:"data-dir"`

	Host            string        `koanf:"host"`
	Port            int           `koanf:"port"`
	AllowRemote     bool          `koanf:"allow-remote"`
	APIKey          string        `koanf:"api-key"`
	APIKeyFile      string        `koanf:"api-key-file"`
	NoAuth          bool          `koanf:"no-auth"`
	TLSCert         string        `koanf:"tls-cert"`
	TLSKey          string        `koanf:"tls-key"`
	UnknownFields   string        `koanf:"unknown-fields"`
	Aliases         []Alias       `koanf:"aliases"`
	AllowedHosts    []string      `koanf:"allowed-hosts"`
	AllowedOrigins  []string      `koanf:"allowed-origins"`
	AdminAddr       string        `koanf:"admin-addr"`
	AdminKeyFile    string        `koanf:"admin-key-file"`
	AdminURL        string        `koanf:"admin-url"`
	DefaultDeadline time.Duration `koanf:"default-deadline"`
	EventRetention  time.Duration `koanf:"event-retention"`
	ModelGrace      time.Duration `koanf:"model-grace"`
	DrainTimeout    time.Duration `koanf:"drain-timeout"`
	MaxBody         int           `koanf:"max-body"`
	MaxOpenStreams  int           `koanf:"max-open-streams"`
	RefuseLate      bool          `koanf:"refuse-late"`
	InlineBytes     int           `koanf:"inline-bytes"`

	NATS          string        `koanf:"nats"`
	NATSHost      string        `koanf:"nats-host"`
	NATSPort      int           `koanf:"nats-port"`
	NATSTokenFile string        `koanf:"nats-token-file"`
	NATSCreds     string        `koanf:"nats-creds"`
	NATSCA        string        `koanf:"nats-ca"`
	NoNATSAuth    bool          `koanf:"no-nats-auth"`
	Cluster       string        `koanf:"cluster"`
	Replicas      int           `koanf:"replicas"`
	ReplyPrefixes []string      `koanf:"reply-prefixes"`
	Sync          string        `koanf:"sync"`
	SyncInterval  time.Duration `koanf:"sync-interval"`
	AckWait       time.Duration `koanf:"ack-wait"`
	StealAfter    time.Duration `koanf:"steal-after"`

	URL string `koanf:"url"`

	Model          string        `koanf:"model"`
	Backend        string        `koanf:"backend"`
	Context        int           `koanf:"ctx"`
	Parallel       int           `koanf:"parallel"`
	KVType         string        `koanf:"kv-type"`
	GPULayers      int           `koanf:"gpu-layers"`
	Threads        int           `koanf:"threads"`
	SimStep        time.Duration `koanf:"sim-step"`
	SimPrefillRate int           `koanf:"sim-prefill-rate"`

	BatchWindow         time.Duration `koanf:"batch-window"`
	InterTokenBound     float64       `koanf:"inter-token-bound"`
	BufferTokens        int           `koanf:"buffer-tokens"`
	BufferBytes         int           `koanf:"buffer-bytes"`
	SlowConsumerTimeout time.Duration `koanf:"slow-consumer-timeout"`

	MetricsAddr string `koanf:"metrics-addr"`
	// ReadyPoolThreshold is a share of a worker's KV cells, above 0 and at most 1.
	ReadyPoolThreshold float64 `koanf:"ready-pool-threshold"`

	StepTimeout    time.Duration `koanf:"step-timeout"`
	NoPreventSleep bool          `koanf:"no-prevent-sleep"`
	MaxAttempts    int           `koanf:"max-attempts"`
	HangTimeout    time.Duration `koanf:"hang-timeout"`
}

// Alias maps requested model names to the model that answers.
type Alias struct {
	// Pattern is a name, or a pattern as path.Match has it, like gpt-*.
	Pattern string `koanf:"pattern" json:"pattern"`
	// Model is the model that answers.
	Model string `koanf:"model" json:"model"`
}

func (a Alias) String() string { return a.Pattern + "=" + a.Model }
