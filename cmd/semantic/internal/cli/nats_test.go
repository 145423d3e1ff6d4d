package cli_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/cli"
	"github.com/semantic-worker/semantic/queue/queuetest"
)

// run runs a command in this process.
func run(t *testing.T, arguments ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	home := t.TempDir()
	code = cli.Run(t.Context(), arguments, cli.Options{
		In: strings.NewReader(""), Out: &out, Err: &errs, Release: "v0.0.0-test",
		Getenv: func(name string) string {
			if name == "SEMANTIC_HOME" || name == "XDG_CONFIG_HOME" {
				return home
			}
			return ""
		},
	})
	return code, out.String(), errs.String()
}

// jetStream is a stranger's view of the broker.
func jetStream(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url, nats.Timeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// `nats migrate` makes what is missing, brings up what is older, shows what was
// changed by hand and sets it back when it is asked to, and leaves the rest.
func TestNATSMigrate(t *testing.T) {
	t.Parallel()
	url := queuetest.Start(t).ClientURL()
	js := jetStream(t, url)
	const old = "1.0"
	var current string // what this release makes
	reports, err := queuetest.Open(t, queuetest.Start(t)).Topology(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	current = reports[0].Want
	expect := func(code int, want, never string, arguments ...string) {
		t.Helper()
		got, stdout, stderr := run(t, append([]string{"nats", "migrate", "--nats", url}, arguments...)...)
		stdout = strings.ReplaceAll(stdout, current, "CURRENT")
		stdout = regexp.MustCompile(` +`).ReplaceAllString(stdout, " ")
		if got != code || !strings.Contains(stdout, want) || never != "" && strings.Contains(stdout, never) {
			t.Errorf("%v: exit code %d, want %d, with %q and without %q:\n%s%s", arguments, got, code, want, never, stdout, stderr)
		}
	}
	change := func(version string, change func(*jetstream.StreamConfig)) {
		t.Helper()
		stream, err := js.Stream(t.Context(), "DEAD")
		if err != nil {
			t.Fatal(err)
		}
		c := stream.CachedInfo().Config
		c.Metadata = map[string]string{"semantic.topology": version}
		change(&c)
		if _, err := js.UpdateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	discardOld := func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }

	expect(0, "DEAD missing - -\n", "current", "--dry-run")
	expect(0, "DEAD missing - -\n", "current", "--dry-run")
	expect(0, "DEAD current CURRENT made\n", "missing")
	expect(0, "DEAD current CURRENT -\n", "made")
	change(old, discardOld)
	expect(0, "DEAD older 1.0 -\n", "", "--dry-run")
	expect(0, "DEAD current CURRENT brought up\n", "")
	change(current, discardOld)
	expect(1, "DEAD was changed by hand. --repair sets it back\n discard: have DiscardOld, want DiscardNew\n", "set back")
	expect(0, "DEAD current CURRENT set back\n", "was changed", "--repair")
	change(current, discardOld)
	expect(1, `"state": "changed"`, "done", "--json")
	change("3.0", discardOld)
	expect(1, "DEAD is of version 3.0, this release makes CURRENT: use a release that knows both\n", "", "--repair")
	change("", discardOld)
	expect(1, "DEAD was not made by semantic: rename it, or use another NATS account\n", "", "--repair")
	expect(2, "", "STREAM", "--repair", "--dry-run")
}
