package strictjson

import (
	"strconv"
	"strings"
)

// Fault classifies an [Error].
type Fault uint8

// The faults.
const (
	// Malformed: not JSON, or JSON that cannot be taken at its word.
	Malformed Fault = iota
	// TooLarge: over one of the limits.
	TooLarge
	// Mismatch: a value of the wrong type.
	Mismatch
	// Unknown: a field that the type does not have.
	Unknown
	// Missing: a required field is not there.
	Missing
)

// Error is what is wrong with a document, and where.
type Error struct {
	Fault Fault
	// Path names the value, like messages[2].content; empty for the document.
	Path string
	// Reason is a sentence part that follows the path.
	Reason string
}

func (e *Error) Error() string {
	if e.Path == "" {
		return e.Reason
	}
	return e.Path + ": " + e.Reason
}

// Path is the way from the document to a value in it. The nil Path is the
// document itself. Paths are built on the way down and rendered only when
// there is an error to tell.
type Path struct {
	parent *Path
	name   string
	index  int // of an array's element, when name is not set
	named  bool
}

// Field is the path of a member of the object at p.
func (p *Path) Field(name string) *Path { return &Path{parent: p, name: name, named: true} }

// Index is the path of an element of the array at p.
func (p *Path) Index(i int) *Path { return &Path{parent: p, index: i} }

// maxName bounds how much of a name chosen by a stranger is repeated to them.
const maxName = 64

// String renders the path, like a.b[3]["odd name"].
func (p *Path) String() string {
	if p == nil {
		return ""
	}
	head := p.parent.String()
	if !p.named {
		return head + "[" + strconv.Itoa(p.index) + "]"
	}
	if !plain(p.name) {
		name := p.name
		if len(name) > maxName {
			name = strings.ToValidUTF8(name[:maxName], "") + "…"
		}
		return head + "[" + strconv.QuoteToASCII(name) + "]"
	}
	if head == "" {
		return p.name
	}
	return head + "." + p.name
}

// plain reports whether a name needs no quotes in a path.
func plain(name string) bool {
	if name == "" || len(name) > maxName {
		return false
	}
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

func fault(f Fault, at *Path, reason string) *Error {
	return &Error{Fault: f, Path: at.String(), Reason: reason}
}
