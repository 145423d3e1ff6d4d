package cli_test

import (
	"bytes"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// An idle worker waits for company as long as the batch window says (here for
// longer than the test), unless there is no place for more.
func TestBatchWindow(t *testing.T) {
	t.Parallel()
	_, info := simServer(t, (*exec.Cmd).Start, "--parallel", "2", "--batch-window", "1m", "--ack-wait", "1m")
	// A stream opens after half a second, also while its request waits. One
	// prompt twice would be read once, for both.
	var streams []io.ReadCloser
	for _, prompt := range []string{"words=51", "words=52"} {
		streams = append(streams, openBody(t, info.HTTP,
			`{"model":"sim","stream":true,"max_tokens":7,"messages":[{"role":"user","content":"`+prompt+`"}]}`))
	}
	for _, s := range streams {
		answer, err := io.ReadAll(s)
		if err != nil || !bytes.Contains(answer, []byte(`"finish_reason":"length"`)) {
			t.Errorf("%v: %s", err, answer)
		}
	}
	for line := range strings.SplitSeq(pageWith(t, info.HTTP, childMetrics), "\n") {
		if strings.HasPrefix(line, "semantic_batch_size_bucket") && strings.Contains(line, `le="1"`) {
			if !strings.HasSuffix(line, " 0") {
				t.Errorf("a request was alone in a batch: %s", line)
			}
			return
		}
	}
	t.Error("/metrics lacks the batch sizes")
}
