package models

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/progress"
)

// Errors that callers tell apart. The types below carry the details and, as
// Hint, what to do.
var (
	// ErrNotFound: the store has no model of this name.
	ErrNotFound = errors.New("no such model")
	// ErrExists: the name is taken.
	ErrExists = errors.New("the name is taken")
	// ErrChanged: a model's file is not what it was.
	ErrChanged = errors.New("the model's file changed")
	// ErrName: not a valid name for a model.
	ErrName = errors.New("not a valid model name")
	// ErrAltered: a file is truncated or not the one that was asked for.
	ErrAltered = errors.New("not the file that was asked for")
)

// NotFoundError names what is there. It wraps [ErrNotFound].
type NotFoundError struct {
	Name string
	// Known are the names in the store; Default is the one that can be pulled
	// by its name.
	Known   []string
	Default string
}

func (e *NotFoundError) Error() string {
	if len(e.Known) == 0 {
		return fmt.Sprintf("there is no model %q, nor any other", e.Name)
	}
	return fmt.Sprintf("there is no model %q; there is %s", e.Name, strings.Join(e.Known, ", "))
}

// Unwrap returns ErrNotFound.
func (e *NotFoundError) Unwrap() error { return ErrNotFound }

// Hint says what to do.
func (e *NotFoundError) Hint() string {
	if e.Name == e.Default {
		return "Run 'semantic model pull'."
	}
	return "'semantic model add FILE' takes a GGUF file that is here, 'semantic model pull' fetches one."
}

// ExistsError says who has the name. It wraps [ErrExists].
type ExistsError struct{ Name, Source string }

func (e *ExistsError) Error() string {
	return fmt.Sprintf("there is a model %q already, from %s", e.Name, e.Source)
}

// Unwrap returns ErrExists.
func (e *ExistsError) Unwrap() error { return ErrExists }

// Hint says what to do.
func (e *ExistsError) Hint() string {
	return fmt.Sprintf("Choose another name with --name, or first run 'semantic model rm %s'.", e.Name)
}

// ChangedError says how a model's file differs from what the store remembers.
// It wraps [ErrChanged].
type ChangedError struct {
	Name, Path string
	// Problem is like "is gone".
	Problem string
	// Owned is whether the file is the store's own.
	Owned bool
	// Source is where an owned file came from.
	Source string
}

func (e *ChangedError) Error() string {
	return fmt.Sprintf("model %q: %s %s", e.Name, e.Path, e.Problem)
}

// Unwrap returns ErrChanged.
func (e *ChangedError) Unwrap() error { return ErrChanged }

// Hint says what to do.
func (e *ChangedError) Hint() string {
	if e.Owned {
		return fmt.Sprintf("Run 'semantic model rm %s' and fetch it again (it came from %s).", e.Name, e.Source)
	}
	return fmt.Sprintf("Put the file back; or, if the change is meant, run 'semantic model add %q --name %s' again.", e.Path, e.Name)
}

// NameError says what is wrong with a name. It wraps [ErrName].
type NameError struct{ Name, Problem string }

func (e *NameError) Error() string {
	return fmt.Sprintf("%q cannot be a model's name: %s", e.Name, e.Problem)
}

// Unwrap returns ErrName.
func (e *NameError) Unwrap() error { return ErrName }

// AlteredError says that a file is not the one that was asked for. It wraps
// [ErrAltered].
type AlteredError struct {
	// File is its path or where it came from.
	File string
	// Want and Got are hashes or sizes.
	Want, Got string
}

func (e *AlteredError) Error() string {
	return fmt.Sprintf("%s is not the file that was asked for: want %s, got %s", e.File, e.Want, e.Got)
}

// Unwrap returns ErrAltered.
func (e *AlteredError) Unwrap() error { return ErrAltered }

// Hint says what to do.
func (e *AlteredError) Hint() string {
	return "It was altered or truncated on the way, or the hash is of another file. Nothing was kept; fetch it again, or check the hash."
}

// InterruptedError says how far a download came before it ended. It wraps the
// cause.
type InterruptedError struct {
	File string
	// Have is how many bytes are kept, Total how many there are; 0 if unknown.
	Have, Total int64
	Err         error
}

func (e *InterruptedError) Error() string {
	if e.Total > 0 {
		return fmt.Sprintf("the download of %s ended at %s of %s: %v", e.File, progress.Bytes(e.Have), progress.Bytes(e.Total), e.Err)
	}
	return fmt.Sprintf("the download of %s ended at %s: %v", e.File, progress.Bytes(e.Have), e.Err)
}

// Unwrap returns the cause.
func (e *InterruptedError) Unwrap() error { return e.Err }

// Hint says what to do.
func (e *InterruptedError) Hint() string {
	return "What is here is kept: run the same command again and it goes on from there."
}

// HTTPError is a refusal of a server.
type HTTPError struct {
	// What was asked for, without credentials.
	What   string
	Status int
	// HuggingFace is whether the server is one, and Token whether it was shown
	// a token.
	HuggingFace, Token bool
}

func (e *HTTPError) Error() string {
	return fmt.Sprintf("%s: the server answers %d %s", e.What, e.Status, http.StatusText(e.Status))
}

// Hint says what to do.
func (e *HTTPError) Hint() string {
	switch e.Status {
	case http.StatusUnauthorized:
		switch {
		case e.HuggingFace && e.Token:
			return "The token in HF_TOKEN is not accepted, or the repository does not exist."
		case e.HuggingFace:
			return "There is no such repository, or it is private: check the name, or set HF_TOKEN to a token that may read it."
		}
		return "The server wants credentials: they can be in the address, as https://USER:PASSWORD@HOST/…"
	case http.StatusForbidden:
		if e.HuggingFace {
			return "The repository is gated: accept its terms on its page, and set HF_TOKEN to a token of that account."
		}
		return "The server does not give it to you; signed addresses expire."
	case http.StatusNotFound, http.StatusGone:
		if e.HuggingFace {
			return "Check the names of repository and file; upper and lower case matter."
		}
		return "Check the address."
	case http.StatusTooManyRequests:
		return "Wait a little and run the same command again; what is here is kept."
	}
	if e.Status >= http.StatusInternalServerError {
		return "The server has a problem: run the same command again later; what is here is kept."
	}
	return "Check the address."
}

// ContentError says that something is not a model.
type ContentError struct {
	File string
	Err  error
	// Advice is what to do; may be empty.
	Advice string
}

func (e *ContentError) Error() string { return fmt.Sprintf("%s: %v", e.File, e.Err) }

// Unwrap returns the cause.
func (e *ContentError) Unwrap() error { return e.Err }

// Hint says what to do.
func (e *ContentError) Hint() string { return e.Advice }

// RefError says that what was given to pull cannot be understood.
type RefError struct{ Ref, Problem, Advice string }

func (e *RefError) Error() string { return fmt.Sprintf("%s: %s", e.Ref, e.Problem) }

// Hint says what to do.
func (e *RefError) Hint() string { return e.Advice }
