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

// in puts the error into a field of an object. Paths are built on the way out:
// a document without faults pays nothing for them.
func (e *Error) in(name string) *Error {
	e.Path = join(segment(name), e.Path)
	return e
}

// item puts the error into an element of an array.
func (e *Error) item(i int) *Error {
	e.Path = join("["+strconv.Itoa(i)+"]", e.Path)
	return e
}

// Path is the way from the document to a value in it, for those who read a
// [Value] themselves. The nil Path is the document.
type Path struct {
	parent  *Path
	segment string
}

// Field is the path of a member of the object at p.
func (p *Path) Field(name string) *Path { return &Path{parent: p, segment: segment(name)} }

// Index is the path of an element of the array at p.
func (p *Path) Index(i int) *Path { return &Path{parent: p, segment: "[" + strconv.Itoa(i) + "]"} }

// String renders the path, like a.b[3]["odd name"].
func (p *Path) String() string {
	if p == nil {
		return ""
	}
	return join(p.parent.String(), p.segment)
}

// join puts a path below another.
func join(path, below string) string {
	if path == "" || below == "" || below[0] == '[' {
		return path + below
	}
	return path + "." + below
}

// maxName bounds how much of a name chosen by a stranger is repeated to them.
const maxName = 64

// segment writes a name as a part of a path, in quotes where it needs them.
func segment(name string) string {
	if plain(name) {
		return name
	}
	if len(name) > maxName {
		name = strings.ToValidUTF8(name[:maxName], "") + "…"
	}
	return "[" + strconv.QuoteToASCII(name) + "]"
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

func fault(f Fault, reason string) *Error { return &Error{Fault: f, Reason: reason} }
