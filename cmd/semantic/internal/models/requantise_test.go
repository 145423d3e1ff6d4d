package models

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/disk"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/models/gguf/gguftest"
)

// inF16 is a small model in F16; gguftest.Model is one in Q8_0.
func inF16() []byte {
	return gguftest.File([]gguftest.Pair{
		{Key: "general.architecture", Value: "llama"}, {Key: "llama.context_length", Value: uint32(4096)},
		{Key: "general.file_type", Value: uint32(1)},
	}, []gguftest.Tensor{{Name: "w", Dims: []uint64{32, 64}, Type: 1, Bytes: 2 * 32 * 64}})
}

// toQ8 makes Q8_0 by writing a model that is in it.
func toQ8(made []byte) RequantizeOptions {
	return RequantizeOptions{
		To:   "Q8_0",
		Size: func(int64) (int64, error) { return int64(len(made)), nil },
		Make: func(_ context.Context, _, to string) error { return os.WriteFile(to, made, 0o600) },
	}
}

func TestRequantize(t *testing.T) {
	for name, owned := range map[string]bool{"a copy": true, "where it is": false} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			data, made := inF16(), gguftest.Model("made")
			path := write(t, filepath.Join(t.TempDir(), "My.F16.gguf"), data)
			if _, err := s.Add(t.Context(), path, AddOptions{Name: "my", Copy: owned}); err != nil {
				t.Fatal(err)
			}
			m, err := s.Requantize(t.Context(), "my", toQ8(made))
			if err != nil {
				t.Fatal(err)
			}
			v := m.Requantised
			if v == nil || v.Quantisation != "Q8_0" || v.File.SHA256 != sum(made) || filepath.Base(v.File.Path) != "My.Q8_0.gguf" {
				t.Fatalf("%+v", v)
			}
			// The original stays what it was, and what the name stands for.
			if got := whole(t, s, "my", data); got.Quantisation != "F16" || got.Requantised == nil || got.Requantised.File.SHA256 != v.File.SHA256 {
				t.Errorf("%+v", got)
			}
			again := toQ8(made)
			again.Make = func(context.Context, string, string) error { return errors.New("made again") }
			if _, err := s.Requantize(t.Context(), "my", again); err != nil {
				t.Errorf("a second time: %v", err)
			}
			// Touched it is the same; changed or gone it is as if it were not there.
			if err := os.Chtimes(v.File.Path, time.Time{}, time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
			if m := whole(t, s, "my", data); m.Requantised == nil {
				t.Error("it was only touched")
			}
			write(t, v.File.Path, append([]byte("x"), made[1:]...))
			if m := whole(t, s, "my", data); m.Requantised != nil {
				t.Error("it was changed and is used")
			}
			if err := os.Remove(v.File.Path); err != nil {
				t.Fatal(err)
			}
			if m := whole(t, s, "my", data); m.Requantised != nil {
				t.Error("it is gone and is used")
			}
			if _, err := s.Requantize(t.Context(), "my", toQ8(made)); err != nil {
				t.Errorf("after it was gone: %v", err)
			}
			if _, err := s.Remove(t.Context(), "my"); err != nil {
				t.Error(err)
			}
			nothing(t, s)
			if _, err := os.Stat(path); err != nil {
				t.Errorf("the original: %v", err)
			}
		})
	}
}

// TestRequantizeAnotherType: the new one takes the old one's place.
func TestRequantizeAnotherType(t *testing.T) {
	s := newStore(t)
	path := write(t, filepath.Join(t.TempDir(), "m.gguf"), gguftest.Model("m"))
	if _, err := s.Add(t.Context(), path, AddOptions{}); err != nil {
		t.Fatal(err)
	}
	file := func(kind uint32) []byte {
		return gguftest.File([]gguftest.Pair{{Key: "general.architecture", Value: "llama"}, {Key: "general.file_type", Value: kind}}, nil)
	}
	o := toQ8(file(2))
	o.To = "Q4_0"
	first, err := s.Requantize(t.Context(), "m", o)
	if err != nil {
		t.Fatal(err)
	}
	o = toQ8(file(1))
	o.To = "F16"
	second, err := s.Requantize(t.Context(), "m", o)
	if err != nil || second.Requantised.Quantisation != "F16" {
		t.Fatal(second.Requantised, err)
	}
	if _, err := os.Stat(first.Requantised.File.Path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the first one is still there: %v", err)
	}
	whole(t, s, "m", gguftest.Model("m"))
}

// TestRequantizeFails: the model is as it was.
func TestRequantizeFails(t *testing.T) {
	s := newStore(t)
	data := inF16()
	if _, err := s.Add(t.Context(), write(t, filepath.Join(t.TempDir(), "m.gguf"), data), AddOptions{}); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("the native library died")
	fails := func(change func(o *RequantizeOptions)) error {
		o := toQ8(gguftest.Model("made"))
		change(&o)
		_, err := s.Requantize(t.Context(), "m", o)
		if m := whole(t, s, "m", data); m.Requantised != nil {
			t.Errorf("after %v it has %+v", err, m.Requantised)
		}
		return err
	}
	var (
		ref     *RefError
		content *ContentError
		space   *disk.SpaceError
	)
	if err := fails(func(o *RequantizeOptions) { o.To = "f16" }); !errors.As(err, &ref) {
		t.Errorf("the type that it has: %v", err)
	}
	if err := fails(func(o *RequantizeOptions) { o.Size = func(int64) (int64, error) { return 1 << 60, nil } }); !errors.As(err, &space) {
		t.Errorf("no room: %v", err)
	}
	if err := fails(func(o *RequantizeOptions) {
		o.Make = func(_ context.Context, _, to string) error {
			return errors.Join(os.WriteFile(to, data[:100], 0o600), broken)
		}
	}); !errors.Is(err, broken) {
		t.Errorf("a failure in the middle: %v", err)
	}
	if err := fails(func(o *RequantizeOptions) {
		o.Make = func(_ context.Context, _, to string) error { return os.WriteFile(to, data[:100], 0o600) }
	}); !errors.As(err, &content) {
		t.Errorf("half a file: %v", err)
	}
	if err := fails(func(o *RequantizeOptions) {
		o.Make = func(_ context.Context, _, to string) error { return os.WriteFile(to, data, 0o600) }
	}); !errors.As(err, &content) || !strings.Contains(err.Error(), "F16") {
		t.Errorf("another type than was asked for: %v", err)
	}
	if _, err := s.Requantize(t.Context(), "none", toQ8(nil)); !errors.Is(err, ErrNotFound) {
		t.Errorf("no model: %v", err)
	}
	m := Model{Path: "/x/a.Q8_0.gguf", Quantisation: "Q4_1", Files: []File{{Path: "/x/a.Q8_0.gguf"}}}
	if variantName(m, "Q8_0") == "a.Q8_0.gguf" {
		t.Error("the variant would take the original's place")
	}
}
