package llama

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/llama/internal/tinymodel"
)

// quantized makes the default model in another type.
func quantized(t testing.TB, to string) string {
	t.Helper()
	o := options(t)
	path := filepath.Join(t.TempDir(), to+".gguf")
	last, all := 0, 0
	began := time.Now()
	err := Quantize(QuantizeOptions{
		LibDir: o.LibDir, RuntimeVersion: o.RuntimeVersion, From: o.ModelPath, To: path, Type: to,
		Progress: func(begun, of int) { last, all = begun, of },
	})
	if err != nil {
		t.Fatal(err)
	}
	if last == 0 || last != all {
		t.Errorf("progress ended at %d of %d", last, all)
	}
	t.Logf("%s made in %v", to, time.Since(began).Round(time.Millisecond))
	return path
}

// TestQuantize: the default model in Q8_0 says the same, and its perplexity of a
// fixed text is that of the original within half a percent.
func TestQuantize(t *testing.T) {
	path := quantized(t, "Q8_0")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if about, err := QuantizedSize(134515008, "q8_0"); err != nil || about < info.Size() || about > info.Size()*5/4 {
		t.Errorf("about %d bytes foretold, error %v; it has %d", about, err, info.Size())
	}
	// On the CPU the other file is taken.
	b := open(t, func(o *Options) { o.CPUModelPath, o.CPUWeightsHash = path, "08" })
	original := open(t, nil)
	if b.Info().Quantisation != "Q8_0" || b.Info().Fingerprint == original.Info().Fingerprint {
		t.Errorf("info %+v", b.Info())
	}
	// So short a text tells no more than that nothing is broken.
	was, is := perplexity(surprises(t, original, "../../LICENSE", 2)), perplexity(surprises(t, b, "../../LICENSE", 2))
	if t.Logf("perplexity: Q4_1 %.3f, Q8_0 %.3f", was, is); math.Abs(is/was-1) > 0.03 {
		t.Errorf("perplexity %.3f, was %.3f", is, was)
	}
}

func perplexity(surprises []float64) float64 {
	mean, _ := meanOf(surprises)
	return math.Exp(mean)
}

// meanOf is the mean and its standard error.
func meanOf(values []float64) (mean, deviation float64) {
	n := float64(len(values))
	for _, v := range values {
		mean += v / n
	}
	for _, v := range values {
		deviation += (v - mean) * (v - mean) / n
	}
	return mean, math.Sqrt(deviation / n)
}

// surprises are the negative logarithms of the probabilities of the tokens in a
// text's first chunks of 512: in the last three quarters of each, with the first
// before them.
func surprises(t testing.TB, b *Backend, file string, chunks int) []float64 {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := b.Vocabulary().Tokenize(string(text), false)
	if err != nil {
		t.Fatal(err)
	}
	const chunk = 512
	var all []float64
	for ; len(ids) >= chunk && chunks > 0; ids, chunks = ids[chunk:], chunks-1 {
		rows := rowsOf(b, 0, ids[:chunk]...)
		for i := chunk / 4; i < chunk; i++ {
			rows[i].Logits = true
		}
		if err := b.Step(rows); err != nil {
			t.Fatal(err)
		}
		for i := chunk / 4; i < chunk-1; i++ {
			all = append(all, -logProbability(logits(t, b, i), ids[i+1]))
		}
		remove(t, b, 0, 0)
	}
	if len(all) == 0 {
		t.Fatal("the text is too short")
	}
	return all
}

// BenchmarkPerplexity compares the default model with what is made of it, on a
// longer text: how many percent more the perplexity is, and the standard error of
// that.
func BenchmarkPerplexity(b *testing.B) {
	var was []float64
	for _, name := range []string{"Q4_1", "Q8_0", "Q4_0"} {
		b.Run(name, func(b *testing.B) {
			backend := open(b, func(o *Options) {
				o.Threads = 0
				if name != "Q4_1" {
					o.CPUModelPath, o.CPUWeightsHash = quantized(b, name), name
				}
			})
			for b.Loop() {
				is := surprises(b, backend, "testdata/prose.txt", math.MaxInt)
				if was == nil {
					was = is
				}
				more := make([]float64, len(is))
				for i := range is {
					more[i] = is[i] - was[i]
				}
				mean, deviation := meanOf(more)
				b.ReportMetric(perplexity(is), "perplexity")
				b.ReportMetric(100*mean, "%more")
				b.ReportMetric(100*deviation, "%error")
				b.ReportMetric(float64(len(is)), "tokens")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

func logProbability(l []float32, token engine.Token) float64 {
	top := float64(l[argmax(l)])
	sum := 0.0
	for _, v := range l {
		sum += math.Exp(float64(v) - top)
	}
	return float64(l[token]) - top - math.Log(sum)
}

// TestQuantizeRefuses: what cannot be made, and what cannot be read or written.
func TestQuantizeRefuses(t *testing.T) {
	o := options(t)
	q := QuantizeOptions{LibDir: o.LibDir, From: o.ModelPath, To: filepath.Join(t.TempDir(), "out.gguf"), Type: "Q3_K_S"}
	if err := Quantize(q); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("another type: %v", err)
	}
	if _, err := QuantizedSize(1, "IQ1_S"); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("size of another type: %v", err)
	}
	var load *LoadError
	q.Type, q.From = "Q8_0", filepath.Join(t.TempDir(), "none.gguf")
	if err := Quantize(q); !errors.As(err, &load) {
		t.Errorf("no file: %v", err)
	}
	q.From, q.To = o.ModelPath, filepath.Join(t.TempDir(), "no folder", "out.gguf")
	if err := Quantize(q); !errors.As(err, &load) {
		t.Errorf("a file that cannot be written: %v", err)
	}
	// The libraries are as good as before.
	small := filepath.Join(t.TempDir(), "small.gguf")
	if err := tinymodel.Write(small, tinymodel.Qwen3); err != nil {
		t.Fatal(err)
	}
	q.From, q.To = small, filepath.Join(t.TempDir(), "out.gguf")
	for _, name := range Quantisations() {
		if err := os.RemoveAll(q.To); err != nil {
			t.Fatal(err)
		}
		if q.Type = name; Quantize(q) != nil {
			t.Errorf("%s failed", name)
		}
	}
	if name, err := DeviceName(o.LibDir, "", BackendCPU); err != nil || name != BackendCPU {
		t.Errorf("device %q, error %v", name, err)
	}
}
