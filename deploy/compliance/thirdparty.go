package compliance

import (
	"context"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

//go:embed texts
var texts embed.FS

// WriteThirdParty makes a folder that a release archive carries: the licence
// texts and notices of every module, of the Go standard library, of what is in
// the native libraries, and of the model; and an INDEX.txt. A folder that is
// there is replaced. root is the folder of this module.
func WriteThirdParty(ctx context.Context, root, dir string, e Entries, modules []Module) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("third party: %w", err)
	}
	w := thirdParty{dir: dir}
	goroot, err := run(ctx, root, nil, "go", "env", "GOROOT")
	if err != nil {
		return err
	}
	for _, name := range []string{"LICENSE", "PATENTS"} {
		w.copy(filepath.Join(strings.TrimSpace(string(goroot)), name), "go/"+name)
	}
	w.index("go", "the Go standard library and runtime", "BSD-3-Clause")
	for _, m := range modules {
		notices, err := m.notices()
		if err != nil {
			return err
		}
		folder := "modules/" + m.Path + "@" + m.Version
		for _, f := range append(notices, m.Files...) {
			w.copy(filepath.Join(m.Dir, filepath.FromSlash(f)), folder+"/"+f)
		}
		w.index(folder, m.Path+" "+m.Version, strings.Join(m.Licences, ", "))
	}
	apache, err := os.ReadFile(filepath.Join(root, "LICENSE"))
	if err != nil {
		return fmt.Errorf("third party: %w", err)
	}
	for _, n := range e.Native {
		w.standard("native/"+folderName(n.Name), strings.TrimSpace(n.Name+" "+n.Version), n.Licence, n.Copyright, apache)
	}
	for _, m := range e.Models {
		w.standard("models/"+m.Name, m.Title, m.Licence, m.Copyright, apache)
	}
	w.write("INDEX.txt", []byte(w.list.String()))
	return w.err
}

// thirdParty writes files below dir until one fails.
type thirdParty struct {
	dir  string
	list strings.Builder
	err  error
}

func (w *thirdParty) index(folder, what, licence string) {
	fmt.Fprintf(&w.list, "%s: %s, in %s\n", what, licence, folder)
}

func (w *thirdParty) copy(from, to string) {
	data, err := os.ReadFile(from)
	if err != nil && w.err == nil {
		w.err = fmt.Errorf("third party: %w", err)
	}
	w.write(to, data)
}

// standard writes the text of a licence under a copyright line.
func (w *thirdParty) standard(folder, what, licence, copyright string, apache []byte) {
	text, err := texts.ReadFile("texts/" + licence + ".txt")
	if licence == "Apache-2.0" {
		text, err = apache, nil
	}
	if err != nil && w.err == nil {
		w.err = fmt.Errorf("third party: %s: no text of %s", what, licence)
	}
	w.write(folder+"/LICENSE", []byte(strings.TrimLeft(copyright+"\n\n", "\n")+string(text)))
	w.index(folder, what, licence)
}

func (w *thirdParty) write(name string, data []byte) {
	if w.err != nil {
		return
	}
	name = filepath.Join(w.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		w.err = fmt.Errorf("third party: %w", err)
	} else if err := os.WriteFile(name, data, 0o644); err != nil {
		w.err = fmt.Errorf("third party: %w", err)
	}
}

// folderName makes a name that is good for a folder of a title.
func folderName(title string) string {
	title, _, _ = strings.Cut(title, ",")
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '.', r == '-', r == '+':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		default:
			return '-'
		}
	}, title)
}
