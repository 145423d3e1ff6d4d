package models

import (
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// maxName keeps a name's slug, three times as long at worst, below what file
// systems allow.
const maxName = 80

// validName is what a name may be made of. It begins with a letter or digit,
// so that no name looks like a flag, a hidden file or a path.
var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$`)

// ValidName returns nil, or a [*NameError].
func ValidName(name string) error {
	switch {
	case name == "":
		return &NameError{Name: name, Problem: "it is empty"}
	case len(name) > maxName:
		return &NameError{Name: name, Problem: fmt.Sprintf("it has more than %d characters", maxName)}
	case !validName.MatchString(name):
		return &NameError{Name: name, Problem: "it may hold letters, digits and . _ : / @ + -, and begins with a letter or digit"}
	}
	return nil
}

// nameOf makes a name of a file's name: without .gguf and the number in a
// split set.
func nameOf(file string) string {
	base := strings.TrimSuffix(path.Base(file), ".gguf")
	if s, ok := parseSplit(path.Base(file)); ok {
		base = s.prefix
	}
	var b strings.Builder
	for _, r := range base {
		if strings.ContainsRune("._@+-", r) || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			b.WriteRune(r)
		} else {
			b.WriteByte('-')
		}
	}
	name := strings.TrimLeft(b.String(), "._@+-")
	if len(name) > maxName {
		name = name[:maxName]
	}
	if name == "" {
		return "model"
	}
	return name
}

// split is the name of a file of a split set: <prefix>-00001-of-00003.gguf.
type split struct {
	prefix string
	of     int
}

var splitName = regexp.MustCompile(`^(.+)-(\d{5})-of-(\d{5})\.gguf$`)

func parseSplit(base string) (split, bool) {
	m := splitName.FindStringSubmatch(base)
	if m == nil {
		return split{}, false
	}
	no, _ := strconv.Atoi(m[2]) // five digits
	of, _ := strconv.Atoi(m[3])
	if no < 1 || no > of || of < 2 {
		return split{}, false
	}
	return split{prefix: m[1], of: of}, true
}

// names are the names of all files of the set, in order.
func (s split) names() []string {
	names := make([]string, s.of)
	for i := range names {
		names[i] = fmt.Sprintf("%s-%05d-of-%05d.gguf", s.prefix, i+1, s.of)
	}
	return names
}

// setOf returns the names of all files of the set that a file belongs to: the
// file alone unless its name is one of a split set. The name may have folders
// before it.
func setOf(file string) []string {
	dir, base := path.Split(file)
	s, ok := parseSplit(base)
	if !ok {
		return []string{file}
	}
	names := s.names()
	for i := range names {
		names[i] = dir + names[i]
	}
	return names
}
