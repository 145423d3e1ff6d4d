package llama

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
	binding "github.com/hybridgroup/yzma/pkg/llama"
	"github.com/hybridgroup/yzma/pkg/loader"
	"github.com/jupiterrider/ffi"

	"github.com/semantic-worker/semantic/engine"
)

// library is the native library as this package calls it: yzma prepares and
// calls everything that is not called at every step; what is, is called here
// with neither reflection nor allocations.
type library struct {
	dir     string
	release string

	decode       ffi.Fun
	logitsIth    uintptr
	seqRm        uintptr
	seqCp        uintptr
	seqPosMax    uintptr
	stateSize    uintptr
	stateGet     uintptr
	stateSet     uintptr
	setThreads   uintptr
	tokenize     uintptr
	tokenToPiece uintptr
	vocabIsEOG   uintptr

	// truth is a C function that tells whether the byte at an address is not 0:
	// strlen. It is the abort callback, asked before every node of a graph (900
	// in the default model), where a callback into Go costs about a microsecond
	// each time.
	truth uintptr
	// progress is the one callback for loading: a process has 2,000, for ever.
	progress uintptr

	logs logs
	// loading is the load in progress, under its lock.
	loadLock sync.Mutex
	loading  func(float32) bool
}

// process holds what exists once in a process, because the dynamic linker,
// yzma and llama.cpp keep it in globals of their own.
var process struct {
	sync.Mutex
	lib *library
}

// libraryOf loads the libraries of a folder, or returns them if they are loaded
// already. want is the release that they must be; empty takes any.
func libraryOf(dir, want string) (*library, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("llama: library folder: %w", err)
	}
	process.Lock()
	defer process.Unlock()
	if lib := process.lib; lib != nil {
		switch {
		case lib.dir != dir:
			return nil, fmt.Errorf("llama: the libraries in %s are loaded; a process cannot load those in %s too", lib.dir, dir)
		case want != "" && !sameRelease(want, lib.release):
			return nil, &VersionError{Want: want, Have: lib.release, Dir: dir}
		}
		return lib, nil
	}
	have, err := LibraryVersion(dir)
	if err != nil {
		return nil, err
	}
	if want != "" && !sameRelease(want, have) {
		return nil, &VersionError{Want: want, Have: have, Dir: dir}
	}
	// Read by ggml when it dies: its own backtrace starts a debugger, which
	// takes long and may hang. It must be in C's environment before the load.
	if err := os.Setenv("GGML_NO_BACKTRACE", "1"); err != nil {
		return nil, fmt.Errorf("llama: environment: %w", err)
	}
	if err := binding.Load(dir); err != nil {
		return nil, missing(dir, err)
	}
	lib := &library{dir: dir, release: have}
	if err := lib.prepare(); err != nil {
		return nil, err
	}
	if said := lib.saysRelease(); want != "" && !sameRelease(want, said) {
		return nil, &VersionError{Want: want, Have: said, Dir: dir}
	} else if !strings.HasPrefix(have, "v") {
		lib.release = "v" + said
	}
	binding.LogSet(purego.NewCallback(lib.logs.receive))
	binding.BackendInit()
	if err := binding.GGMLBackendLoadAllFromPath(dir); err != nil {
		return nil, fmt.Errorf("llama: load backends of %s: %w", dir, err)
	}
	process.lib = lib
	return lib, nil
}

// prepare looks up what this package calls itself.
func (l *library) prepare() error {
	lib, err := loader.LoadLibrary(l.dir, "llama")
	if err != nil {
		return missing(l.dir, err)
	}
	// struct llama_batch, passed by value.
	batch := ffi.NewType(&ffi.TypeSint32, &ffi.TypePointer, &ffi.TypePointer, &ffi.TypePointer,
		&ffi.TypePointer, &ffi.TypePointer, &ffi.TypePointer)
	if l.decode, err = lib.Prep("llama_decode", &ffi.TypeSint32, &ffi.TypePointer, &batch); err != nil {
		return missing(l.dir, err)
	}
	// Only integers and pointers go in and out of these, so they need no
	// description; Prep is used for the address alone.
	for name, address := range map[string]*uintptr{
		"llama_get_logits_ith":     &l.logitsIth,
		"llama_memory_seq_rm":      &l.seqRm,
		"llama_memory_seq_cp":      &l.seqCp,
		"llama_memory_seq_pos_max": &l.seqPosMax,
		"llama_state_seq_get_size": &l.stateSize,
		"llama_state_seq_get_data": &l.stateGet,
		"llama_state_seq_set_data": &l.stateSet,
		"llama_set_n_threads":      &l.setThreads,
		"llama_tokenize":           &l.tokenize,
		"llama_token_to_piece":     &l.tokenToPiece,
		"llama_vocab_is_eog":       &l.vocabIsEOG,
	} {
		fun, err := lib.Prep(name, &ffi.TypePointer)
		if err != nil {
			return missing(l.dir, err)
		}
		*address = fun.Addr
	}
	if l.truth, err = purego.Dlsym(purego.RTLD_DEFAULT, "strlen"); err != nil {
		return fmt.Errorf("llama: the C library has no strlen: %w", err)
	}
	l.progress = purego.NewCallback(func(progress float32, _ uintptr) bool {
		return l.loading == nil || l.loading(progress)
	})
	return nil
}

// saysRelease asks the library for its version, like "0.4.0-dev".
func (l *library) saysRelease() string {
	lib, err := loader.LoadLibrary(l.dir, "llama")
	if err != nil {
		return ""
	}
	version, err := lib.Prep("llama_version", &ffi.TypePointer)
	if err != nil {
		return "unknown (it has no llama_version)"
	}
	r, _, _ := purego.SyscallN(version.Addr)
	return cString(r)
}

// cString copies a C string. The address is native memory, of which the garbage
// collector knows nothing, hence the detour for vet's sake.
func cString(address uintptr) string {
	if address == 0 {
		return ""
	}
	p := *(**byte)(unsafe.Pointer(&address))
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(p), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(p, n))
}

var absentPattern = regexp.MustCompile(`(lib[^\s:/]+\.so[.\d]*): cannot open shared object file`)

// missing explains why the dynamic linker refused. It has only words for it.
func missing(dir string, err error) error {
	if err == nil {
		return nil
	}
	e := &MissingLibraryError{Library: "llama.cpp from " + dir, Cause: err}
	if m := absentPattern.FindStringSubmatch(err.Error()); m != nil {
		e.Library = m[1]
	}
	switch {
	case strings.HasPrefix(e.Library, "libllama"), strings.HasPrefix(e.Library, "libggml"):
		e.Hint = "run `semantic runtime install`"
	case strings.HasPrefix(e.Library, "libstdc++"), strings.HasPrefix(e.Library, "libgcc_s"):
		e.Hint = "install libstdc++6 and libgcc-s1 (Debian, Ubuntu), libstdc++ and libgcc (Fedora), or gcc-libs (Arch)"
	case strings.HasPrefix(e.Library, "libffi"):
		e.Hint = "install libffi8 (Debian, Ubuntu) or libffi (Fedora, Arch)"
	case runtime.GOOS == "linux" && strings.Contains(err.Error(), "GLIBC"):
		e.Hint = "this system's C library is older than the prebuilt libraries need"
	case runtime.GOOS == "darwin":
		e.Hint = "the prebuilt libraries need macOS 14 or newer; run `semantic runtime install` if a file is missing"
	}
	return e
}

// loadModel reads weights. Loads of a process go one after another, since they
// share the progress callback.
func (l *library) loadModel(ctx context.Context, path string, p binding.ModelParams, progress func(float32)) (binding.Model, error) {
	l.loadLock.Lock()
	defer l.loadLock.Unlock()
	l.loading = func(done float32) bool {
		if progress != nil {
			progress(done)
		}
		return ctx.Err() == nil
	}
	defer func() { l.loading = nil }()
	p.ProgressCallback = l.progress
	l.logs.startErrors()
	model, err := binding.ModelLoadFromFile(path, p)
	said := l.logs.takeErrors()
	switch {
	case err == nil:
		return model, nil
	case ctx.Err() != nil:
		return 0, fmt.Errorf("llama: load model %s: %w", path, context.Cause(ctx))
	case said == "":
		said = err.Error()
	}
	return 0, &LoadError{Path: path, Reason: said}
}

// logs receives what the native libraries say.
type logs struct {
	mu     sync.Mutex
	logger *slog.Logger
	// line is a line that is not complete yet, of level.
	line  strings.Builder
	level binding.LogLevel
	// errs are the lines at error level since startErrors.
	errs []string
	// watcher sees every line; nil for nobody.
	watcher func(line string)
}

// watch shows every line to a function, which must not call the library; nil
// ends it.
func (l *logs) watch(watcher func(line string)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watcher = watcher
}

// use directs the lines to a logger; nil discards them.
func (l *logs) use(logger *slog.Logger) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.logger = logger
}

// receive is the native callback, on any thread. A piece continues the line of
// the piece before it until there is a line end.
func (l *logs) receive(level binding.LogLevel, text, _ uintptr) {
	piece := cString(text)
	l.mu.Lock()
	defer l.mu.Unlock()
	if level != binding.LogLevelContinue {
		l.level = level
	}
	for {
		part, rest, ended := strings.Cut(piece, "\n")
		l.line.WriteString(part)
		if !ended {
			return
		}
		l.emit(strings.TrimSpace(l.line.String()))
		l.line.Reset()
		piece = rest
	}
}

func (l *logs) emit(line string) {
	if line == "" || strings.Trim(line, ".") == "" {
		return
	}
	if l.watcher != nil {
		l.watcher(line)
	}
	if l.level >= binding.LogLevelError && len(l.errs) < 8 {
		l.errs = append(l.errs, line)
	}
	// Its debug level has a line for every tensor.
	if l.logger != nil && l.level > binding.LogLevelDebug {
		l.logger.Log(context.Background(), levelOf(l.level, line), line, keyComponent, "llama.cpp")
	}
}

// overContext is in a warning about the context of all sequences together, which
// may well be longer than the model was trained for: that of each is not.
const overContext = "possible training context overflow"

// levelOf is one step below the library's own: what it tells at its info level are
// details here, and a failure is also returned as an error.
func levelOf(native binding.LogLevel, line string) slog.Level {
	switch {
	case native >= binding.LogLevelError:
		return slog.LevelWarn
	case native == binding.LogLevelWarn && !strings.Contains(line, overContext):
		return slog.LevelInfo
	default:
		return slog.LevelDebug
	}
}

func (l *logs) startErrors() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs = nil
}

func (l *logs) takeErrors() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	said := strings.Join(l.errs, "; ")
	l.errs = nil
	return said
}

var errClosed = fmt.Errorf("llama: the backend is closed: %w", engine.ErrInvalid)
