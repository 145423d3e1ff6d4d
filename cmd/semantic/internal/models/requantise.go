package models

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/disk"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/models/gguf"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/progress"
)

// Variant is a model's weights in another type: made here, from the original,
// which stays, and always the store's own.
type Variant struct {
	Quantisation string `json:"quantisation"`
	File         File   `json:"file"`
}

// RequantizeOptions of [Store.Requantize].
type RequantizeOptions struct {
	// To is the type to make, like Q8_0.
	To string
	// Make writes the file to from the model's (first) file from.
	Make func(ctx context.Context, from, to string) error
	// Size is about how many bytes a model of so many parameters will take.
	Size     func(parameters int64) (int64, error)
	Progress *progress.Reporter
}

// Requantize makes the model's weights in another type, beside the original, in
// place of an earlier Variant. One that is there already in this type is
// returned as it is. Whatever happens, the model is as it was or has the new
// one. Errors: [*NotFoundError], [*ChangedError], [*RefError], [*ContentError],
// [*disk.SpaceError], those of Make, of the system and of ctx.
func (s *Store) Requantize(ctx context.Context, name string, o RequantizeOptions) (Model, error) {
	if _, err := s.Resolve(ctx, name, o.Progress); err != nil {
		return Model{}, err
	}
	unlock, err := s.lock(ctx, name, o.Progress)
	if err != nil {
		return Model{}, err
	}
	defer unlock()
	m, err := s.get(name)
	if err != nil {
		return Model{}, fmt.Errorf("model %q: %w", name, err)
	}
	switch v := m.Requantised; {
	case strings.EqualFold(m.Quantisation, o.To):
		return Model{}, &RefError{Ref: "--to " + o.To, Problem: name + " is in that type already", Advice: "Nothing is to be done."}
	case v != nil && v.Quantisation == o.To && m.look(v.File) == nil:
		o.Progress.Printf("%s is here in %s already", name, o.To)
		return m, nil
	}
	next, clean, err := s.stage(name)
	if err != nil {
		return Model{}, err
	}
	defer clean()
	staged := filepath.Join(next, variantName(m, o.To))
	if err := o.write(ctx, m, staged); err != nil {
		return Model{}, err
	}
	return s.putVariant(ctx, m, staged, o)
}

// write makes the file and looks whether it is what was asked for.
func (o RequantizeOptions) write(ctx context.Context, m Model, to string) error {
	need, err := o.Size(m.Parameters)
	if err != nil {
		return err
	}
	if err := disk.Room(filepath.Dir(to), need); err != nil {
		return err
	}
	if err := o.Make(ctx, m.Path, to); err != nil {
		return err
	}
	info, err := gguf.ReadFile(to)
	if err != nil {
		return fileError(to, err)
	}
	if info.Architecture != m.Architecture || !strings.EqualFold(info.Quantisation, o.To) {
		return &ContentError{
			File: to, Err: fmt.Errorf("it has become %s in %s", info.Architecture, info.Quantisation), Advice: "The model stays as it was.",
		}
	}
	f, err := os.OpenFile(to, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("flush %s: %w", to, err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("flush %s: %w", to, err)
	}
	return nil
}

// putVariant puts the file into the model's folder and then tells of it. The
// caller holds the name's lock.
func (s *Store) putVariant(ctx context.Context, m Model, staged string, o RequantizeOptions) (Model, error) {
	f, err := hashFile(ctx, staged, o.Progress)
	if err != nil {
		return Model{}, err
	}
	dir := s.folder(m.Name)
	f.Path = filepath.Base(staged)
	if err := os.Rename(staged, filepath.Join(dir, f.Path)); err != nil {
		return Model{}, fmt.Errorf("model %q: %w", m.Name, err)
	}
	if err := disk.SyncDir(dir); err != nil {
		return Model{}, err
	}
	now, err := readManifest(filepath.Join(dir, manifestName))
	if err != nil {
		return Model{}, fmt.Errorf("model %q: %w", m.Name, err)
	}
	now.Requantised = &Variant{Quantisation: o.To, File: f}
	if err := now.write(filepath.Join(dir, manifestName)); err != nil {
		return Model{}, err
	}
	if old := m.Requantised; old != nil && filepath.Base(old.File.Path) != f.Path {
		// Nobody is told of it any more; a worker that has it loaded keeps it.
		if err := os.Remove(old.File.Path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return Model{}, fmt.Errorf("remove what %s replaced: %w", f.Path, err)
		}
	}
	return now.model(dir, m.Slug), nil
}

// variantName is the original's with the other type; it is no file of the
// model's.
func variantName(m Model, to string) string {
	base := filepath.Base(m.Path)
	if s, ok := parseSplit(base); ok {
		base = s.prefix
	}
	base = strings.TrimSuffix(base, ".gguf")
	if stem, ok := strings.CutSuffix(strings.ToLower(base), strings.ToLower(m.Quantisation)); ok && m.Quantisation != "" {
		base = strings.TrimRight(base[:len(stem)], ".-_")
	}
	name := base + "." + to + ".gguf"
	for _, f := range m.Files {
		if strings.EqualFold(filepath.Base(f.Path), name) {
			return base + "." + to + ".requantised.gguf"
		}
	}
	return name
}

// checkVariant returns the model without a variant that is not what it was: it
// can be made again, and the original is as good.
func (s *Store) checkVariant(ctx context.Context, m Model, report *progress.Reporter) (Model, error) {
	v := m.Requantised
	if v == nil {
		return m, nil
	}
	err := m.look(v.File)
	if errors.Is(err, errTouched) {
		now, errHash := hashFile(ctx, v.File.Path, report)
		if errHash != nil {
			return Model{}, errHash
		}
		if now.SHA256 == v.File.SHA256 {
			return m, nil
		}
	}
	if err != nil {
		report.Printf("%s is used in %s: %v", m.Name, m.Quantisation, err)
		m.Requantised = nil
	}
	return m, nil
}
