package symbols

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/semantic-worker/semantic/deploy"
)

// Report is what was found about one platform.
type Report struct {
	Platform string
	// Libraries is how many there are, Symbols how many were looked up in them.
	Libraries, Symbols int
	// MinimumOS is the oldest macOS that all of them load on; empty elsewhere.
	MinimumOS string
	// Err joins all that is wrong; nil if the platform is well.
	Err error
}

func (r Report) String() string {
	text := fmt.Sprintf("%s: %d libraries, %d symbols", r.Platform, r.Libraries, r.Symbols)
	if r.MinimumOS != "" {
		text += ", macOS " + r.MinimumOS + " or newer"
	}
	if r.Err != nil {
		return text + ", FAILED"
	}
	return text + ", ok"
}

// MissingError reports something that a platform's package does not have.
type MissingError struct {
	// Platform is the package's.
	Platform string
	// Library is a file in it; empty if the package itself is missing.
	Library string
	// Symbol is a name that the library does not export; empty if the library is
	// missing.
	Symbol string
}

func (e *MissingError) Error() string {
	switch {
	case e.Library == "":
		return e.Platform + ": the package is missing"
	case e.Symbol == "":
		return fmt.Sprintf("%s: %s is missing", e.Platform, e.Library)
	default:
		return fmt.Sprintf("%s: %s does not export %s", e.Platform, e.Library, e.Symbol)
	}
}

// Check looks wanted up in the packages of all platforms of the lock; dir holds
// them as .tgz files. The error is about the folder; what is wrong with a
// platform is in its report.
func Check(dir string, lock deploy.Lock, wanted []Symbol) ([]Report, error) {
	packages, err := readPackages(dir)
	if err != nil {
		return nil, err
	}
	return check(packages, lock, wanted), nil
}

func check(packages map[string]npmPackage, lock deploy.Lock, wanted []Symbol) []Report {
	var reports []Report
	for _, runtime := range lock.Runtimes {
		p, ok := packages[runtime.Platform]
		if !ok {
			reports = append(reports, Report{Platform: runtime.Platform, Err: &MissingError{Platform: runtime.Platform}})
			continue
		}
		reports = append(reports, checkPlatform(runtime, p, wanted))
	}
	return reports
}

// registration is what ggml calls in a backend's library to register it.
const registration = "ggml_backend_init"

func checkPlatform(r deploy.Runtime, p npmPackage, wanted []Symbol) Report {
	report := Report{Platform: r.Platform}
	var problems []error
	wrong := func(file, format string, args ...any) {
		problems = append(problems, fmt.Errorf("%s: %s: "+format, append([]any{r.Platform, file}, args...)...))
	}
	// libraries are those of the lock, also by the names of their links.
	libraries := map[string]library{}
	var oldest release
	for _, locked := range r.Libraries {
		data, ok := p.files[locked.Name]
		if !ok {
			problems = append(problems, &MissingError{Platform: r.Platform, Library: locked.Name})
			continue
		}
		if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != locked.SHA256 {
			wrong(locked.Name, "it is not the file that the lock names")
		}
		lib, err := readLibrary(r.OS, data)
		if err != nil {
			wrong(locked.Name, "%w", err)
			continue
		}
		if lib.arch != r.Arch {
			wrong(locked.Name, "it is for %q, not %s", lib.arch, r.Arch)
		}
		libraries[locked.Name] = lib
		oldest = max(oldest, lib.minimumOS)
		report.Libraries++
	}
	for _, link := range r.Links {
		if lib, ok := libraries[link.Target]; ok {
			libraries[link.Name] = lib
		}
	}

	lookUp := func(file, symbol string) {
		report.Symbols++
		lib, ok := libraries[file]
		switch {
		case !ok:
			problems = append(problems, &MissingError{Platform: r.Platform, Library: file})
		case !lib.exports[symbol]:
			problems = append(problems, &MissingError{Platform: r.Platform, Library: file, Symbol: symbol})
		}
	}
	extension := ".so"
	if r.OS == "darwin" {
		extension = ".dylib"
	}
	for _, s := range wanted {
		lookUp("lib"+s.Library+extension, s.Name)
	}
	for _, file := range backends(r, libraries) {
		lookUp(file, registration)
	}
	for _, file := range slices.Sorted(maps.Keys(libraries)) {
		for _, need := range libraries[file].needs {
			if name := path.Base(need); own(need) && !has(libraries, name) {
				wrong(file, "it needs %s, which the package does not have", name)
			}
		}
	}
	if r.OS == "darwin" {
		report.MinimumOS = oldest.String()
		problems = append(problems, checkMinimumOS(r, libraries, oldest))
	}
	report.Err = errors.Join(problems...)
	return report
}

// backends are the libraries that ggml opens to compute with, and those that
// the platform must have: a processor's, on Apple's own also Metal.
func backends(r deploy.Runtime, libraries map[string]library) []string {
	var found []string
	processor := false
	for _, file := range slices.Sorted(maps.Keys(libraries)) {
		// On every platform they end in .so, and the ordinary ones of the Mac do not.
		if name, ok := strings.CutPrefix(file, "libggml-"); ok && strings.HasSuffix(name, ".so") && name != "base.so" {
			found = append(found, file)
			processor = processor || strings.HasPrefix(name, "cpu-")
		}
	}
	const metal = "libggml-metal.so"
	if r.OS == "darwin" && r.Arch == "arm64" && !slices.Contains(found, metal) {
		found = append(found, metal)
	}
	if !processor {
		found = append(found, "libggml-cpu-*.so")
	}
	return found
}

func checkMinimumOS(r deploy.Runtime, libraries map[string]library, oldest release) error {
	for _, file := range slices.Sorted(maps.Keys(libraries)) {
		if libraries[file].minimumOS == 0 {
			return fmt.Errorf("%s: %s does not say what macOS it needs", r.Platform, file)
		}
	}
	var major, minor uint32
	if _, err := fmt.Sscanf(r.MinimumOS, "%d.%d", &major, &minor); err != nil {
		return fmt.Errorf("%s: the lock's minimum_os %q: %w", r.Platform, r.MinimumOS, err)
	}
	if promised := newRelease(major, minor); oldest > promised {
		return fmt.Errorf("%s: the libraries need macOS %s, the lock says %s", r.Platform, oldest, promised)
	}
	return nil
}

// own reports whether a library that another is linked with should be in the
// package rather than in the system.
func own(need string) bool {
	return strings.HasPrefix(need, "@") || strings.HasPrefix(need, "libllama") || strings.HasPrefix(need, "libggml")
}

func has(libraries map[string]library, name string) bool {
	_, ok := libraries[name]
	return ok
}
