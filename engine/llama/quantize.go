package llama

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	binding "github.com/hybridgroup/yzma/pkg/llama"

	"github.com/semantic-worker/semantic/engine"
)

// quantisation is a type of weights that Quantize makes.
type quantisation struct {
	name  string
	ftype binding.Ftype
	// bits is about what a weight takes.
	bits float64
}

func quantisations() []quantisation {
	return []quantisation{
		{"Q8_0", binding.FtypeMostlyQ8_0, 8.5},
		{"Q4_0", binding.FtypeMostlyQ4_0, 4.5},
		{"Q4_K_M", binding.FtypeMostlyQ4_K_M, 4.9},
		{"F16", binding.FtypeMostlyF16, 16},
	}
}

// Quantisations are the types that Quantize makes: those with fast kernels on a
// CPU, and F16. The first is the one that loses nothing to speak of.
func Quantisations() []string {
	var names []string
	for _, q := range quantisations() {
		names = append(names, q.name)
	}
	return names
}

func quantisationOf(name string) (quantisation, error) {
	all := quantisations()
	i := slices.IndexFunc(all, func(q quantisation) bool { return strings.EqualFold(q.name, name) })
	if i < 0 {
		return quantisation{}, fmt.Errorf("llama: cannot make %q, only %s: %w", name, strings.Join(Quantisations(), ", "), engine.ErrInvalid)
	}
	return all[i], nil
}

// QuantizedSize is about how many bytes a model of so many parameters takes in
// a type.
func QuantizedSize(parameters int64, to string) (int64, error) {
	q, err := quantisationOf(to)
	if err != nil {
		return 0, err
	}
	// Norms stay as they are, the vocabulary comes to it.
	const besides = 16 << 20
	return int64(float64(parameters)*q.bits/8*1.02) + besides, nil
}

// QuantizeOptions say what Quantize makes.
type QuantizeOptions struct {
	// LibDir and RuntimeVersion are as in Options.
	LibDir, RuntimeVersion string
	// From is a GGUF file, of a split set the first; To the one to be written,
	// which must not be there.
	From, To string
	// Type is one of Quantisations.
	Type string
	// Progress is called with how many of the tensors are begun, from any
	// thread; nil means nobody watches.
	Progress func(begun, of int)
}

// Quantize writes a model's weights in another type. It computes with all cores
// that this process may use, cannot be stopped, and native code may die of a
// file that is not what it should be: run it in a process of its own. What it
// has written when it fails is the caller's to remove. The errors are those of
// Open.
func Quantize(o QuantizeOptions) error {
	q, err := quantisationOf(o.Type)
	if err != nil {
		return err
	}
	if err := checkFile(o.From); err != nil {
		return err
	}
	lib, err := libraryOf(o.LibDir, o.RuntimeVersion)
	if err != nil {
		return err
	}
	p := binding.ModelQuantizeDefaultParams()
	p.Ftype = q.ftype
	p.NThread = int32(UsableCores())
	p.AllowRequantize = 1
	lib.loadLock.Lock()
	defer lib.loadLock.Unlock()
	lib.logs.startErrors()
	if o.Progress != nil {
		lib.logs.watch(func(line string) {
			if m := tensorPattern.FindStringSubmatch(line); m != nil {
				begun, _ := strconv.Atoi(m[1]) // digits
				of, _ := strconv.Atoi(m[2])
				o.Progress(begun, of)
			}
		})
		defer lib.logs.watch(nil)
	}
	result := binding.ModelQuantize(filepath.Clean(o.From), filepath.Clean(o.To), &p)
	if said := lib.logs.takeErrors(); result != 0 {
		if said == "" {
			said = fmt.Sprintf("the library gave %d for %s", result, q.name)
		}
		return &LoadError{Path: o.From, Reason: said}
	}
	return nil
}

// tensorPattern is how the library says which tensor it begins.
var tensorPattern = regexp.MustCompile(`^\[ *(\d+)/ *(\d+)\]`)

// DeviceName is what Open with a backend would compute with here: BackendMetal
// or BackendCPU.
func DeviceName(libDir, runtimeVersion, backend string) (string, error) {
	if _, err := libraryOf(libDir, runtimeVersion); err != nil {
		return "", err
	}
	d, err := chooseDevice(backend)
	if err != nil {
		return "", err
	}
	return d.name(), nil
}
