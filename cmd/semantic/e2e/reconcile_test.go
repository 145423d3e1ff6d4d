package e2e

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestNoWorker: no worker is alive, and every job has its typed end in time all the
// same, also one whose publisher gave it no TTL; its publisher hears it in the live
// feed, or in its inbox, or reads it in the log.
func TestNoWorker(t *testing.T) {
	deps := dependencies(t)
	place := newPlace(t)
	s := place.serve(t, append(simulated(5*time.Millisecond), "--model-grace", "1s")...)
	drained(t, binary, s.Worker, s.NATS)
	p := newPublisher(t, s, deps)
	client := strings.TrimSuffix(p.line("python docs/examples/direct.py"), ` "Say hello."`) + " --nats \"$NATS_URL\" "
	ghost := strings.Replace(client, `"$MODEL"`, "ghost", 1)
	const unknown = `failed: model_not_found (model): The model "ghost" is not known here. Known models: sim.`
	for _, c := range []struct {
		line, says string
		code       int
	}{
		{client + `--deadline 0.5 "x"`, "expired: no answer within 500 ms", 5},
		{client + `--deadline 0.5 --inbox _INBOX.mine.a "x"`, "expired: no answer within 500 ms", 5},
		{ghost + `"x"`, unknown, 3},
		{ghost + `--job-class batch --inbox _INBOX.mine.b "x"`, unknown, 3},
	} {
		if out, code := p.run(c.line); code != c.code || !strings.Contains(out, c.says) {
			t.Errorf("%s: exit code %d, want %d that says %q:\n%s", c.line, code, c.code, c.says, out)
		}
	}

	body := `{"model":"sim","messages":[{"role":"user","content":"x"}]}`
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.HTTP+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Semantic-Deadline", "500ms")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if err != nil || answer.StatusCode != http.StatusGatewayTimeout || !strings.Contains(string(text), "deadline_exceeded") {
		t.Errorf("status %d, %v:\n%s", answer.StatusCode, err, text)
	}
	s.empty()

	// Who leads may have been late with its lease, and an end that the broker was late
	// to confirm is made, and counted, again.
	for _, line := range []string{
		`semantic_queue_leader 1\n`,
		`semantic_queue_reconciled_total{kind="model_not_found"} ([2-9]|\d\d+)\n`,
		`semantic_queue_anomalies_total{kind="message_lost"} 0\n`,
		`semantic_queue_storage_limit_bytes{stream="EVENTS"} `,
	} {
		pattern := regexp.MustCompile(`\n` + line)
		s.wait("/metrics has "+line, func() bool {
			page, _ := s.metrics("")
			return pattern.Match(page)
		})
	}
}
