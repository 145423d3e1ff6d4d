package llama

// It must be initialised before the foreign function interface is.
import _ "github.com/semantic-worker/semantic/engine/llama/internal/libffi"
