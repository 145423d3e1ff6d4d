package llama

import (
	// It says what to install before the foreign function interface panics.
	_ "github.com/semantic-worker/semantic/engine/llama/internal/libffi"
)
