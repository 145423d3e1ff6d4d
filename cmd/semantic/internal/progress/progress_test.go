package progress

import (
	"io"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPlainLines(t *testing.T) {
	var out strings.Builder
	r := New(&out, false)
	now := time.Unix(0, 0)
	r.now = func() time.Time { return now }
	b := r.Start("Fetching x", 1000)
	for range 10 {
		now = now.Add(600 * time.Millisecond)
		b.Add(100)
	}
	b.Done()
	b.Stop()
	b.Done()
	b.Set(5)
	want := `Fetching x (1 kB)
  20 %  200 B of 1 kB
  40 %  400 B of 1 kB
  60 %  600 B of 1 kB
  80 %  800 B of 1 kB
  done in 6.0 s
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestStopSaysNothing(t *testing.T) {
	var out strings.Builder
	r := New(&out, false)
	r.now = func() time.Time { return time.Unix(0, 0) }
	b := r.Start("Fetching x", 0)
	b.Set(100)
	b.Stop()
	b.Done()
	if out.String() != "Fetching x\n" {
		t.Errorf("got %q", out.String())
	}
}

func TestTerminal(t *testing.T) {
	var out strings.Builder
	r := New(&out, true)
	r.now = func() time.Time { return time.Unix(0, 0) }
	b := r.Start("Fetching x", 1000)
	if _, err := io.Copy(io.Discard, b.Reader(strings.NewReader(strings.Repeat("x", 1000)))); err != nil {
		t.Fatal(err)
	}
	b.Done()
	if s := out.String(); !strings.Contains(s, "Fetching x: done in 0.0 s\n") {
		t.Errorf("got %q", s)
	}
	// Of unknown length it spins; goleak sees whether the spinner ends.
	out.Reset()
	b = r.Start("Waiting", 0)
	b.Set(10)
	b.Done()
	if s := out.String(); !strings.HasSuffix(s, "Waiting: done in 0.0 s\n") {
		t.Errorf("got %q", s)
	}
}

func TestNilIsSilent(t *testing.T) {
	var r *Reporter
	r.Printf("x")
	b := r.Start("x", 5)
	b.Add(1)
	b.Set(2)
	if data, err := io.ReadAll(b.Reader(strings.NewReader("abc"))); err != nil || string(data) != "abc" {
		t.Errorf("read %q, %v", data, err)
	}
	b.Done()
	b.Stop()
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1 kB", 1234: "1.2 kB", 999_949: "999.9 kB", 999_950: "1 MB",
		98_362_432: "98.4 MB", 5e9: "5 GB", 7e15: "7000 TB",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) is %q, want %q", n, got, want)
		}
	}
}
