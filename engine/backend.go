package engine

import "errors"

// Token is an index into a model's vocabulary.
type Token = int32

// SeqID names a sequence in a backend's KV cache: 0 … Limits.Sequences-1.
type SeqID = int32

// Row is one position of one sequence in a step.
type Row struct {
	Token Token
	// Pos is the position in the sequence, from 0, contiguous.
	Pos int32
	Seq SeqID
	// Logits asks for the row's logits after the step.
	Logits bool
}

// Limits are a backend's fixed bounds.
type Limits struct {
	// Cells is the size of the KV cache in tokens, shared by all sequences.
	Cells int
	// Context is the longest single sequence in tokens; at most Cells.
	Context int
	// Batch is the largest number of rows in one step.
	Batch int
	// Sequences is how many sequences can be resident at once.
	Sequences int
	// Apart is from how many rows on a step with decode rows and prompt rows takes
	// longer than one of each kind, as measured on the device; the engine makes
	// two then. 0 means never.
	Apart int
}

// ModelInfo describes a loaded model.
type ModelInfo struct {
	Name         string
	Architecture string
	// Quantisation is the file's type, like "Q4_1"; empty where there is none.
	Quantisation string
	// Fingerprint identifies weights, runtime and template: streams of equal
	// fingerprints may be continued on one another's workers.
	Fingerprint string
	// Backend is "metal", "cpu" or "sim".
	Backend string
	// ContextTrained is the model's own context limit in tokens.
	ContextTrained int
	// Memory says what can be done with a resident sequence; the zero value is
	// MemoryCells.
	Memory MemoryKind
	// ContextReason is the arithmetic behind Limits.Context, for people.
	ContextReason string
	// ChatTemplate is the model's Jinja template; empty where it has none.
	ChatTemplate string
	// BOS and EOS are the texts of these tokens, for the template.
	BOS, EOS string
	// AddBOS: the model wants BOS in front of every text. Chat templates see to
	// it themselves.
	AddBOS bool
}

// MemoryKind says what a backend can do with a resident sequence, as probed when
// the model was loaded.
type MemoryKind int

const (
	// MemoryCells says that positions can be removed from the end and shared in part.
	MemoryCells MemoryKind = iota
	// MemoryWhole is that of sliding-window, recurrent and hybrid models: a
	// sequence is removed, shared and saved as a whole only, at the length it has.
	MemoryWhole
)

// Vocabulary turns text into tokens and back. It is immutable and safe for
// concurrent use, also while a step runs.
type Vocabulary interface {
	// Size is the number of tokens; logits rows have this length.
	Size() int
	// Tokenize splits text. Special tokens written in the text (as templates
	// do) are recognised if special is true; nothing is added in front or
	// behind.
	Tokenize(text string, special bool) ([]Token, error)
	// AppendPiece appends the bytes of a token to dst. Control tokens have bytes
	// only if special is true. A piece may end in the middle of a UTF-8 sequence.
	AppendPiece(dst []byte, token Token, special bool) []byte
	// EndOfGeneration reports whether the model ends its turn with the token.
	EndOfGeneration(token Token) bool
}

// Errors of Backend.Step.
var (
	// ErrNoRoom: the rows do not fit into the KV cache. Nothing was changed.
	ErrNoRoom = errors.New("engine: no room in the KV cache")
	// ErrInterrupted: Interrupt ended the step. What the step had written is
	// undefined: the caller removes the positions of its rows.
	ErrInterrupted = errors.New("engine: step interrupted")
	// ErrBackend: the native library failed. The backend cannot be used again.
	ErrBackend = errors.New("engine: backend failed")
)

// Backend is a model with its KV cache: as few calls as the loop needs. All of
// them are made by the one goroutine that owns the backend, locked to its OS
// thread, except Vocabulary (and what it returns), Info, Limits and Interrupt,
// which are safe for concurrent use.
//
// A backend refuses what would kill the process (too many rows, a sequence or
// token out of range, a gap in the positions, logits that were not asked for)
// with an error that wraps ErrInvalid, before it calls native code.
type Backend interface {
	Info() ModelInfo
	Limits() Limits
	Vocabulary() Vocabulary

	// Step decodes rows: 1 … Limits.Batch of them, the positions of each
	// sequence contiguous with what is resident.
	Step(rows []Row) error
	// Logits returns the logits of row i of the last step, which must have
	// asked for them. The slice is valid until the next call of Step and must
	// not be changed.
	Logits(i int) ([]float32, error)
	// Remove drops the positions from … end of a sequence; from 0 frees it.
	Remove(seq SeqID, from int32) error
	// Share makes dst, which must be empty, hold the first n positions of src
	// without using another cell.
	Share(dst, src SeqID, n int32) error
	// Save returns the state of the first n positions of a sequence, bit for bit
	// as Restore brings it back. It is of this model, KV type and settings only,
	// and says nothing of the tokens.
	Save(seq SeqID, n int32) ([]byte, error)
	// Restore makes seq, which must be empty, hold what Save returned. On an
	// error seq is empty; ErrNoRoom leaves everything as it was.
	Restore(seq SeqID, state []byte) error
	// CellsUsed is the backend's own count of distinct cells in use.
	CellsUsed() int
	// Interrupt ends the step that is running, if the device can (not on
	// Metal); a step that starts later is not affected.
	Interrupt()
	// Close frees everything. The vocabulary must not be used afterwards.
	Close() error
}

// ErrInvalid is wrapped by every refusal of arguments that a backend or the
// engine does not allow.
var ErrInvalid = errors.New("engine: invalid argument")
