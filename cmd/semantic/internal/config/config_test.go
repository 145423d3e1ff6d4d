package config_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"go.uber.org/goleak"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func flags(t *testing.T, arguments ...string) *pflag.FlagSet {
	t.Helper()
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	config.Flags(fs, config.Keys()...)
	if err := fs.Parse(arguments); err != nil {
		t.Fatal(err)
	}
	return fs
}

// Every setting has a field and every field a setting: a knob cannot exist in
// one place only.
func TestSettingsAndFieldsAgree(t *testing.T) {
	fields := make(map[string]bool)
	typ := reflect.TypeFor[config.Config]()
	for i := range typ.NumField() {
		fields[typ.Field(i).Tag.Get("koanf")] = true
	}
	for _, key := range config.Keys() {
		if !fields[key] {
			t.Errorf("setting %s has no field", key)
		}
		delete(fields, key)
	}
	for key := range fields {
		t.Errorf("field %s has no setting", key)
	}
}

func TestDefaults(t *testing.T) {
	l, err := config.Load(config.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if l.Host != "127.0.0.1" || l.Port != 8000 || l.NATSPort != 4222 || l.GPULayers != -1 || l.DrainTimeout != 30*time.Second {
		t.Errorf("defaults: %+v", l.Config)
	}
	for _, err := range []error{l.CheckGateway(), l.CheckEmbeddedNATS(), l.CheckNATSClient()} {
		if err != nil {
			t.Errorf("the defaults are refused: %v", err)
		}
	}
}

// One port for two servers is refused, in the name of the setting that was set;
// the error names both. Different addresses may have the same port.
func TestPorts(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--port=4222"}, "--port: 4222 is the embedded NATS server's port too (--nats-port)"},
		{[]string{"--nats-port=8000"}, "--nats-port: 8000 is the gateway's port too (--port)"},
		{[]string{"--port=7", "--nats-port=7", "--host=0.0.0.0"}, "--nats-port: 7 is the gateway's port too (--port)"},
		{[]string{"--port=7", "--nats-port=7", "--host=localhost"}, "--nats-port: 7 is the gateway's port too (--port)"},
		{[]string{"--port=0", "--nats-port=0"}, ""},
		{[]string{"--port=7", "--nats-port=7", "--nats-host=::1"}, ""},
		{nil, ""},
	} {
		l, err := config.Load(config.LoadOptions{Flags: flags(t, c.args...)})
		if err != nil {
			t.Fatal(err)
		}
		switch err := l.CheckPorts(); {
		case err == nil && c.want != "", err != nil && c.want == "":
			t.Errorf("%q: %v", c.args, err)
		case err != nil && !strings.HasPrefix(err.Error(), c.want):
			t.Errorf("%q: %v, want %s", c.args, err, c.want)
		}
	}
}

// An admin interface that others reach needs a key that somebody chose for it.
func TestAdminSettings(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, ""},
		{[]string{"--admin-addr=off"}, ""},
		{[]string{"--admin-addr=127.0.0.1:0"}, ""},
		{[]string{"--admin-addr=[::1]:9000"}, ""},
		{[]string{"--admin-addr=:9000"}, "--admin-addr: :9000 is reachable from other machines without a key: set --admin-key-file"},
		{[]string{"--admin-addr=mini.local:9000"}, "--admin-addr: mini.local:9000 is reachable"},
		{[]string{"--admin-addr=0.0.0.0:9000", "--admin-key-file=keys"}, ""},
		{[]string{"--admin-addr=off", "--admin-key-file=keys"}, "--admin-key-file: has no meaning with admin-addr: off"},
	} {
		l, err := config.Load(config.LoadOptions{Flags: flags(t, c.args...)})
		if err != nil {
			t.Fatal(err)
		}
		switch err := l.CheckAdmin(); {
		case err == nil && c.want != "", err != nil && c.want == "":
			t.Errorf("%q: %v", c.args, err)
		case err != nil && !strings.HasPrefix(err.Error(), c.want):
			t.Errorf("%q: %v, want %s", c.args, err, c.want)
		}
	}
	for _, bad := range []string{"on", "9000", "h:x", "h:70000"} {
		if _, err := config.Load(config.LoadOptions{Flags: flags(t, "--admin-addr="+bad)}); err == nil {
			t.Errorf("--admin-addr=%s is accepted", bad)
		}
	}
}

func TestPrecedence(t *testing.T) {
	file := write(t, "port: 1\nnats-port: 2\nmodel: from-file\ndrain-timeout: 5s\naliases:\n  - {pattern: gpt-*, model: small}\n")
	l, err := config.Load(config.LoadOptions{
		File: file,
		Environ: []string{
			"SEMANTIC_PORT=11", "SEMANTIC_NATS_PORT=12", "SEMANTIC_MODEL=", "HOME=/x", "SEMANTIC_TEST_LIB=x", "SEMANTIC_SERVICE_HOST=x",
		},
		Flags: flags(t, "--port=21"),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		key       string
		got, want any
		source    string
	}{
		{"port", l.Port, 21, "--port"},
		{"nats-port", l.NATSPort, 12, "SEMANTIC_NATS_PORT"},
		{"model", l.Model, "from-file", file},
		{"drain-timeout", l.DrainTimeout, 5 * time.Second, file},
		{"host", l.Host, "127.0.0.1", "default"},
		{"aliases", l.Aliases, []config.Alias{{Pattern: "gpt-*", Model: "small"}}, file},
	} {
		if !reflect.DeepEqual(c.got, c.want) || l.Source(c.key) != c.source {
			t.Errorf("%s = %v from %s, want %v from %s", c.key, c.got, l.Source(c.key), c.want, c.source)
		}
	}
	if want := []string{"SEMANTIC_SERVICE_HOST"}; !reflect.DeepEqual(l.UnknownEnv, want) {
		t.Errorf("unknown variables %v, want %v", l.UnknownEnv, want)
	}
}

func TestLists(t *testing.T) {
	l, err := config.Load(config.LoadOptions{
		Environ: []string{"SEMANTIC_ALIASES=gpt-*=small, claude-*=large"},
		Flags:   flags(t, "--allowed-origins=https://a.example,http://localhost:3000"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []config.Alias{{"gpt-*", "small"}, {"claude-*", "large"}}; !reflect.DeepEqual(l.Aliases, want) {
		t.Errorf("aliases %v, want %v", l.Aliases, want)
	}
	if want := []string{"https://a.example", "http://localhost:3000"}; !reflect.DeepEqual(l.AllowedOrigins, want) {
		t.Errorf("origins %v, want %v", l.AllowedOrigins, want)
	}
}

// Every refusal names the key and where it was set.
func TestRefusals(t *testing.T) {
	for _, c := range []struct{ yaml, want string }{
		{"prot: 1", "prot: unknown key: `semantic config show` lists the keys"},
		{"nats_port: 1", `nats_port: unknown key: did you mean "nats-port"?`},
		{"port: many", `port: want a whole number, got "many"`},
		{"port: 70000", "port: 70000 is not between 0 and 65535"},
		{"nats-port: -2", "nats-port: -2 is not between 0 and 65535"},
		{"port: [1]", "port: want a whole number, got a list"},
		{"host: 127.0.0.1:80", `host: "127.0.0.1:80" is not an address: give a name or an IP address without a port`},
		{"nats-host: ''", `nats-host: "" is not an address: give a name or an IP address without a port`},
		{"allow-remote: perhaps", `allow-remote: want true or false, got "perhaps"`},
		{"log-level: loud", `log-level: "loud" is not a log level: use debug, info, warn or error`},
		{"log-format: xml", `log-format: "xml" is not one of auto, console, json`},
		{"unknown-fields: ignore", `unknown-fields: "ignore" is not one of refuse, warn`},
		{"backend: cuda", `backend: "cuda" is not one of auto, metal, cpu, sim`},
		{"kv-type: q5", `kv-type: "q5" is not one of f16, q8_0, q4_0`},
		{"sync: never", `sync: "never" is not one of interval, always`},
		{"sync-interval: 1ms", "sync-interval: 1ms is less than 10ms"},
		{"ack-wait: 50ms", "ack-wait: 50ms is not between 100ms and 10m0s"},
		{"steal-after: 61s", "steal-after: 1m1s is not between 0s and 1m0s"},
		{"hang-timeout: 99ms", "hang-timeout: 99ms is less than 100ms, and not 0 either"},
		{"step-timeout: -1s", "step-timeout: -1s is less than 100ms, and not 0 either"},
		{"drain-timeout: 30", "drain-timeout: want a time with its unit like 30s or 10m, got 30"},
		{"drain-timeout: -1s", "drain-timeout: -1s is less than 0s"},
		{"default-deadline: 1ms", "default-deadline: 1ms is not between 1s and 24h0m0s"},
		{"event-retention: 0s", "event-retention: 0s is not between 1s and 168h0m0s"},
		{"model-grace: -1s", "model-grace: -1s is not between 0s and 24h0m0s"},
		{"max-attempts: 0", "max-attempts: 0 is not between 1 and 100"},
		{"max-body: 0", "max-body: 0 is not between 1 and 67108864"},
		{"inline-bytes: 1", "inline-bytes: 1 is not between 1024 and 4194304"},
		{"ctx: -1", "ctx: -1 is not between 0 and 16777216"},
		{"parallel: 256", "parallel: 256 is not between 0 and 255"},
		{"gpu-layers: -2", "gpu-layers: -2 is not between -1 and 10000"},
		{"threads: -1", "threads: -1 is not between 0 and 1024"},
		{"sim-step: -1s", "sim-step: -1s is less than 0s"},
		{"sim-prefill-rate: -1", "sim-prefill-rate: -1 is not between 0 and 1073741824"},
		{"batch-window: 61s", "batch-window: 1m1s is not between 0s and 1m0s"},
		{"inter-token-bound: 1", "inter-token-bound: 1 is not more than 1 and at most 1000"},
		{"inter-token-bound: .nan", "inter-token-bound: NaN is not more than 1 and at most 1000"},
		{"inter-token-bound: x", `inter-token-bound: want a number, got "x"`},
		{"buffer-tokens: 0", "buffer-tokens: 0 is not between 1 and 1048576"},
		{"buffer-bytes: 0", "buffer-bytes: 0 is not between 1 and 1073741824"},
		{"slow-consumer-timeout: 0s", "slow-consumer-timeout: 0s is less than 1ms"},
		{"nats: localhost", `nats: "localhost" is not a NATS URL like nats://127.0.0.1:4222`},
		{"nats: http://u:secret@h", `nats: "http://********@h": scheme http is not nats, tls, ws or wss`},
		{"url: 127.0.0.1:8000", `url: "127.0.0.1:8000" is not a URL like http://127.0.0.1:8000`},
		{"metrics-addr: '9000'", `metrics-addr: "9000" is not an ADDRESS:PORT`},
		{"metrics-addr: 'h:x'", `metrics-addr: "x" is not a port`},
		{"ready-pool-threshold: 0", "ready-pool-threshold: 0 is not above 0 and at most 1"},
		{"ready-pool-threshold: 90", "ready-pool-threshold: 90 is not above 0 and at most 1"},
		{"allowed-origins: [example.org]", `allowed-origins: "example.org" is not an origin like https://chat.example.org`},
		{"allowed-hosts: [1]", "allowed-hosts: [0]: want a text, got 1"},
		{"aliases: {a: b}", "aliases: want a list of pattern and model, got a mapping"},
		{"aliases: [gpt]", `aliases: [0]: want PATTERN=MODEL, got "gpt"`},
		{"aliases: ['[=x']", `aliases: [0].pattern: "[" is not a name or a pattern like gpt-*`},
		{"aliases: [{pattern: a}]", "aliases: [0].model is empty"},
		{"aliases: [{models: a}]", `aliases: [0]: unknown key "models": use pattern and model`},
		{"model: {a: b}", "model: want a text, got a mapping"},
	} {
		file := write(t, c.yaml)
		_, err := config.Load(config.LoadOptions{File: file})
		if err == nil || err.Error() != file+": "+c.want {
			t.Errorf("%s\n got %v\nwant %s: %s", c.yaml, err, file, c.want)
		}
	}
	_, err := config.Load(config.LoadOptions{Environ: []string{"SEMANTIC_PORT=x"}})
	if err == nil || err.Error() != `SEMANTIC_PORT: port: want a whole number, got "x"` {
		t.Errorf("environment: %v", err)
	}
	_, err = config.Load(config.LoadOptions{Flags: flags(t, "--backend=x")})
	if err == nil || err.Error() != `--backend: "x" is not one of auto, metal, cpu, sim` {
		t.Errorf("flag: %v", err)
	}
}

// A batch window in which the worker would be taken for hung is refused.
func TestBatchWindowAndStepTimeout(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--batch-window=1s", "--step-timeout=1s"}, "--batch-window: 1s is not less than the step-timeout, 1s"},
		{[]string{"--batch-window=1s", "--step-timeout=1001ms"}, ""},
		{[]string{"--batch-window=1s", "--step-timeout=0"}, ""},
	} {
		l, err := config.Load(config.LoadOptions{Flags: flags(t, c.args...)})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := l.CheckWorker(); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%q: %q, want %q", c.args, got, c.want)
		}
	}
}

func TestFileItself(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none.yaml")
	if _, err := config.Load(config.LoadOptions{DefaultFile: missing}); err != nil {
		t.Errorf("a missing default file: %v", err)
	}
	if _, err := config.Load(config.LoadOptions{File: missing}); err == nil {
		t.Error("a missing --config file is accepted")
	}
	for _, text := range []string{"- a\n", "port: 1\nport: 2\n", "a: [\n"} {
		if _, err := config.Load(config.LoadOptions{File: write(t, text)}); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
	if _, err := config.Load(config.LoadOptions{File: write(t, "")}); err != nil {
		t.Errorf("an empty file: %v", err)
	}
}

func TestExposure(t *testing.T) {
	keys := write(t, "# ours\nsk-one\n\nsk-two\n")
	for _, c := range []struct {
		args []string
		want string // of the key at fault; empty: accepted
	}{
		{[]string{"--host=0.0.0.0"}, "host"},
		{[]string{"--host=::1"}, ""},
		{[]string{"--host=localhost"}, ""},
		{[]string{"--host=0.0.0.0", "--allow-remote"}, "host"},
		{[]string{"--host=0.0.0.0", "--allow-remote", "--no-auth"}, ""},
		{[]string{"--host=0.0.0.0", "--allow-remote", "--api-key=k"}, ""},
		{[]string{"--host=0.0.0.0", "--allow-remote", "--api-key-file", keys}, ""},
		{[]string{"--host=0.0.0.0", "--no-auth"}, "host"},
		{[]string{"--no-auth", "--api-key=k"}, "no-auth"},
		{[]string{"--api-key-file=/does/not/exist"}, "api-key-file"},
		{[]string{"--tls-cert=a"}, "tls-cert"},
		{[]string{"--tls-key=a"}, "tls-key"},
		{[]string{"--nats-host=0.0.0.0"}, "nats-host"},
		{[]string{"--nats-host=0.0.0.0", "--allow-remote", "--no-auth"}, "nats-host"},
		{[]string{"--nats-host=0.0.0.0", "--no-nats-auth"}, ""},
		{[]string{"--nats-host=0.0.0.0", "--nats-token-file=t"}, ""},
		{[]string{"--no-nats-auth", "--nats-token-file=t"}, "no-nats-auth"},
		{[]string{"--sync=always", "--sync-interval=2s"}, "sync-interval"},
		{[]string{"--nats-creds=c", "--nats-token-file=t"}, "nats-creds"},
	} {
		l, err := config.Load(config.LoadOptions{Flags: flags(t, c.args...)})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, err := range []error{l.CheckGateway(), l.CheckEmbeddedNATS(), l.CheckNATSClient()} {
			if e, ok := err.(*config.Error); ok { //nolint:errorlint // the checks return it unwrapped
				got = e.Key
				break
			}
		}
		if got != c.want {
			t.Errorf("%v: %q refused, want %q", c.args, got, c.want)
		}
	}
}

func TestSecrets(t *testing.T) {
	l, err := config.Load(config.LoadOptions{Environ: []string{"SEMANTIC_API_KEY=sk-secret", "SEMANTIC_NATS=nats://me:secret@h:1"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range l.Rows() {
		switch row.Key {
		case "api-key":
			if row.Value != "********" {
				t.Errorf("api-key shown as %v", row.Value)
			}
		case "nats":
			if row.Value != "nats://********@h:1" {
				t.Errorf("nats shown as %v", row.Value)
			}
		}
	}
	if keys, err := l.APIKeys(); err != nil || !reflect.DeepEqual(keys, []string{"sk-secret"}) {
		t.Errorf("keys %v, %v", keys, err)
	}
	l.NATSTokenFile = write(t, "s3cret\n")
	if token, err := l.NATSToken(); err != nil || token != "s3cret" {
		t.Errorf("token %q, %v", token, err)
	}
	l.NATSTokenFile = write(t, "a b\n")
	if _, err := l.NATSToken(); err == nil {
		t.Error("a token with a space is accepted")
	}
}

func TestDefaultFile(t *testing.T) {
	vars := map[string]string{"XDG_CONFIG_HOME": "/c", "HOME": "/h"}
	if got := config.DefaultFile(func(k string) string { return vars[k] }); got != "/c/semantic/config.yaml" {
		t.Errorf("default file %s", got)
	}
	if got := config.DefaultFile(func(string) string { return "" }); got != "" {
		t.Errorf("default file %s without a home", got)
	}
}
