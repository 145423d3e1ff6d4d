package llama

import (
	"fmt"
	"log/slog"

	"github.com/semantic-worker/semantic/engine"
)

// The values of Options.Backend.
const (
	// BackendAuto is Metal where there is a Metal device, else the CPU.
	BackendAuto = "auto"
	// BackendMetal needs a Metal device.
	BackendMetal = "metal"
	// BackendCPU uses no other device, also where there is one.
	BackendCPU = "cpu"
)

// The values of Options.KVType. Quantised types need flash attention, and on
// the CPU they cost most of the prefill speed.
const (
	// KVF16 stores keys and values as 16-bit floats.
	KVF16 = "f16"
	// KVQ8 stores 8.5 bits a value.
	KVQ8 = "q8_0"
	// KVQ4 stores 4.5 bits a value.
	KVQ4 = "q4_0"
)

const (
	defaultParallel = 8
	defaultBatch    = 512
	minBatch        = 32
	maxBatch        = 4096
	// maxSequences is llama.cpp's own bound of sequences (256), one of which is
	// kept as scratch for restoring states.
	maxSequences = 255
	// minContext is the smallest context that makes sense; also the granularity.
	minContext = 256
)

// Options say what to load and how.
type Options struct {
	// LibDir is the folder of the native libraries, with the links libllama,
	// libggml and libggml-base in it.
	LibDir string
	// ModelPath is a GGUF file; of a split set the first part, with the others
	// beside it.
	ModelPath string
	// Name is the model's name, for people and for ModelInfo; empty takes the
	// file's.
	Name string
	// WeightsHash is the file's SHA-256 in hex, for the fingerprint; empty makes
	// Open read and hash the whole file.
	WeightsHash string
	// CPUModelPath and CPUWeightsHash name another file of the same model that
	// is loaded instead if the CPU computes, in a type that it has fast kernels
	// for; empty where there is none.
	CPUModelPath, CPUWeightsHash string
	// RuntimeVersion is the llama.cpp release that the libraries must be, like
	// "v0.4.0"; empty takes any. Another is refused with *VersionError.
	RuntimeVersion string
	// Backend is BackendAuto (also if empty), BackendMetal or BackendCPU. What
	// cannot be had is refused with *DeviceError.
	Backend string
	// Context is the longest sequence in tokens. 0 chooses the longest that the
	// model was trained for and memory has room for; any other value is used as
	// it is or refused with *ContextFitError, never clamped.
	Context int
	// Cells is the size of the KV cache in tokens, shared by all sequences; at
	// least Context. 0 chooses: see Status.
	Cells int
	// Parallel is how many sequences can be resident at once, 1 … 255; 0 means 8.
	Parallel int
	// KVType is the type of keys and values in the cache; empty is KVF16.
	KVType string
	// GPULayers is how many layers the device computes; -1 all. On the CPU more
	// than 0 is refused.
	GPULayers int
	// Threads is how many threads compute, always. 0 takes, of at most
	// Threads(), so many as a short measurement at the start finds fastest, and
	// fewer while something else needs the cores; with Metal, Threads(). More
	// than UsableCores() is refused with *ThreadsError: threads spin, and one
	// too many costs a factor of 75.
	Threads int
	// Batch is the largest number of rows in one step, 32 … 4096; 0 means 512.
	Batch int
	// Logger gets what the native library says, at debug level, and its errors;
	// nil discards.
	Logger *slog.Logger
	// Progress is called while the weights are read, with 0 … 1, from the
	// goroutine that called Open; nil means nobody watches.
	Progress func(float32)
}

// withDefaults fills what was left open, and refuses what cannot be.
func (o Options) withDefaults() (Options, error) {
	refuse := func(format string, args ...any) (Options, error) {
		return o, fmt.Errorf("llama: "+format+": %w", append(args, engine.ErrInvalid)...)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Backend == "" {
		o.Backend = BackendAuto
	}
	if o.KVType == "" {
		o.KVType = KVF16
	}
	if o.Parallel == 0 {
		o.Parallel = defaultParallel
	}
	if o.Batch == 0 {
		o.Batch = defaultBatch
	}
	switch {
	case o.LibDir == "":
		return refuse("LibDir is empty")
	case o.ModelPath == "":
		return refuse("ModelPath is empty")
	case o.Backend != BackendAuto && o.Backend != BackendMetal && o.Backend != BackendCPU:
		return refuse("backend %q is none of auto, metal, cpu", o.Backend)
	case o.KVType != KVF16 && o.KVType != KVQ8 && o.KVType != KVQ4:
		return refuse("KV type %q is none of f16, q8_0, q4_0", o.KVType)
	case o.Parallel < 1 || o.Parallel > maxSequences:
		return refuse("%d parallel sequences are not within 1 … %d", o.Parallel, maxSequences)
	case o.Batch < minBatch || o.Batch > maxBatch:
		return refuse("a batch of %d rows is not within %d … %d", o.Batch, minBatch, maxBatch)
	case o.Context != 0 && o.Context < minContext:
		return refuse("a context of %d tokens is less than %d", o.Context, minContext)
	case o.Cells != 0 && o.Cells < max(o.Context, minContext):
		return refuse("%d cells are less than the context of %d tokens", o.Cells, max(o.Context, minContext))
	case o.GPULayers < -1:
		return refuse("%d GPU layers", o.GPULayers)
	case o.GPULayers > 0 && o.Backend == BackendCPU:
		return refuse("%d GPU layers on the cpu backend, which has no GPU", o.GPULayers)
	case o.Threads < 0:
		return refuse("%d threads", o.Threads)
	}
	return o, nil
}
