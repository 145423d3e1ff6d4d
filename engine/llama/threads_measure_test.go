package llama

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/llama/internal/tinymodel"
)

// TestThreadsMeasured: without a number the backend finds one, says how, and
// leaves nothing behind; a number that was asked for stays.
func TestThreadsMeasured(t *testing.T) {
	b := open(t, func(o *Options) { o.Threads = 0 })
	s := b.Status()
	if s.Threads < 1 || s.Threads > Threads() || !strings.HasPrefix(s.ThreadsReason, "measured, a token: ") {
		t.Errorf("%d threads: %s", s.Threads, s.ThreadsReason)
	}
	checkCells(t, b, 0)
	if (b.threading != nil) != (b.threading != nil && b.threading.g.most > 1) {
		t.Error("it looks for a number where there is one only")
	}
	ids := tokens(t, b, "one two three ", 40)
	feed(t, b, 0, 1, ids...)
	checkCells(t, b, 40)
	fixed := open(t, nil)
	feed(t, fixed, 0, 1, ids...)
	if s := fixed.Status(); fixed.threading != nil || s.Threads != 1 || s.ThreadsReason != "as asked for" {
		t.Errorf("asked for 1: %d threads, %s", s.Threads, s.ThreadsReason)
	}
	for _, a := range tinymodel.All() {
		b := open(t, func(o *Options) { tiny(t, a)(o); o.Threads = 0 })
		if n := b.CellsUsed(); n != 0 {
			t.Errorf("%s: %d cells used after the measurement", a, n)
		}
	}
}

// BenchmarkBusyCore decodes with n=1, n=2 and the number that the backend finds,
// alone and beside a process that keeps a core busy. auto is to be better than
// the worst of the fixed settings in each row, and near the best.
func BenchmarkBusyCore(b *testing.B) {
	for _, beside := range []int{0, 1} {
		for _, threads := range []int{1, 2, 0} {
			name := map[int]string{0: "auto", 1: "n=1", 2: "n=2"}[threads]
			b.Run(map[int]string{0: "alone", 1: "beside one"}[beside]+"/"+name, func(b *testing.B) {
				if threads > UsableCores() {
					b.Skip("it has too few cores")
				}
				backend := open(b, func(o *Options) { o.Threads = threads })
				for range beside {
					keepBusy(b)
				}
				decodeSeconds(b, backend)
			})
		}
	}
}

// decodeSeconds decodes for five seconds an iteration.
func decodeSeconds(b *testing.B, backend *Backend) {
	ids := tokens(b, backend, "the quick brown fox ", 64)
	feed(b, backend, 0, 64, ids...)
	steps := 0
	for b.Loop() {
		for began := time.Now(); time.Since(began) < 5*time.Second; steps++ {
			if err := backend.Step([]engine.Row{{Token: ids[0], Pos: 64, Logits: true}}); err != nil {
				b.Fatal(err)
			}
			remove(b, backend, 0, 64)
		}
	}
	b.ReportMetric(float64(steps)/b.Elapsed().Seconds(), "tok/s")
	b.ReportMetric(0, "ns/op")
}

// keepBusy starts this test binary as a process that only counts.
func keepBusy(b *testing.B) {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	child := exec.CommandContext(b.Context(), self, "-test.run=^TestCountForEver$", "-test.timeout=10m")
	child.Env = append(os.Environ(), "SEMANTIC_TEST_COUNT_FOR_EVER=1", "GOMAXPROCS=1")
	if err := child.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	})
}

// TestCountForEver is the child of keepBusy; otherwise it does nothing.
func TestCountForEver(*testing.T) {
	for n := 0; os.Getenv("SEMANTIC_TEST_COUNT_FOR_EVER") != ""; n++ {
	}
}
