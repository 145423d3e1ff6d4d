package llama

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unsafe"

	binding "github.com/hybridgroup/yzma/pkg/llama"

	"github.com/semantic-worker/semantic/engine"
)

// Status says how a model was loaded, for people.
type Status struct {
	// Release is the version of the library, like "v0.4.0".
	Release string
	// Device is what computes, like "Apple M3" or the processor's name.
	Device string
	// DeviceReason says why the backend was chosen.
	DeviceReason string
	// Threads is how many compute, to begin with; ThreadsReason says why so many,
	// and whether there may be fewer at times.
	Threads       int
	ThreadsReason string
	KVType        string
	// Weights, KV and Compute are in bytes; Compute is an estimate.
	Weights, KV, Compute uint64
	// SlidingWindow is the model's attention window in tokens; 0 where it sees
	// everything.
	SlidingWindow int
	// Memory says what can be done with a resident sequence, and MemoryReason
	// why, for people.
	Memory       engine.MemoryKind
	MemoryReason string
}

// opening is an Open in progress.
type opening struct {
	lib     *library
	o       Options
	device  device
	model   binding.Model
	context binding.Context
	status  Status
	// perSequence is what a sequence takes besides its cells, in bytes: the state
	// of recurrent layers.
	perSequence uint64
	// recurrent is why the state of a sequence cannot be cut back; empty if it
	// can.
	recurrent string
	// devices is the native list of devices; C reads it during the load.
	devices   []binding.GGMLBackendDevice
	interrupt *interruptFlag
}

func (l *opening) free() {
	if l.context != 0 {
		_ = binding.Free(l.context)
	}
	if l.model != 0 {
		_ = binding.ModelFree(l.model)
	}
	l.lib.logs.use(nil)
}

func (l *opening) load(ctx context.Context) (*Backend, error) {
	l.lib.logs.use(l.o.Logger)
	var err error
	if l.device, err = chooseDevice(l.o.Backend); err != nil {
		return nil, err
	}
	if l.o.GPULayers > 0 && !l.device.metal {
		return nil, &DeviceError{Backend: "with " + strconv.Itoa(l.o.GPULayers) + " GPU layers", Reason: l.device.reason}
	}
	if l.o.CPUModelPath != "" && !l.device.metal {
		l.o.ModelPath, l.o.WeightsHash = l.o.CPUModelPath, l.o.CPUWeightsHash
	}
	room, err := l.device.room()
	if err != nil {
		return nil, err
	}
	weights := l.o.WeightsHash
	if weights == "" {
		if weights, err = hashFiles(ctx, l.o.ModelPath); err != nil {
			return nil, err
		}
	}
	if l.model, err = l.lib.loadModel(ctx, l.o.ModelPath, l.modelParams(), l.o.Progress); err != nil {
		return nil, err
	}
	if err := l.probe(); err != nil {
		return nil, err
	}
	trained := int(binding.ModelNCtxTrain(l.model))
	room.Weights = binding.ModelSize(l.model)
	states := l.perSequence * uint64(l.o.Parallel+1)
	room.Compute = l.computeBytes() + states
	room.PerCell = l.status.KV + maskBytes*uint64(l.o.Batch)
	length, cells, reason, err := fit(l.o, trained, room)
	if err != nil {
		return nil, err
	}
	if l.context, err = l.newContext(cells, l.o.Batch, l.o.Parallel+1); err != nil {
		return nil, err
	}
	if have := int(binding.NCtx(l.context)); have != cells {
		return nil, fmt.Errorf("llama: asked for %d cells, got %d", cells, have)
	}
	vocab, err := newVocabulary(l.lib, l.model)
	if err != nil {
		return nil, err
	}
	l.status.Release = l.lib.release
	l.status.Device, l.status.DeviceReason = l.device.description, l.device.reason
	l.status.Threads, l.status.KVType, l.status.ThreadsReason = l.o.Threads, l.o.KVType, "as asked for"
	l.status.Weights, l.status.Compute, l.status.KV = room.Weights, room.Compute-states, l.status.KV*uint64(cells)+states
	l.status.Memory, l.status.MemoryReason = l.memoryKind(length)
	if l.status.Memory == engine.MemoryWhole {
		reason += "; sequences are kept as wholes, since " + l.status.MemoryReason
	}
	return l.backend(vocab, weights, length, cells, trained, reason)
}

// tiledRows is from how many rows on ggml's CPU kernels compute attention in
// tiles of as many rows and 64 cells, over all cells that any row of a tile
// attends to (ggml_compute_forward_flash_attn_ext_tiled of llama.cpp v0.4.0).
const tiledRows = 64

// apart is engine.Limits.Apart: decode rows in a tile of a prompt's make it visit
// the cells of all their sequences. On other devices it was not measured.
func (l *opening) apart() int {
	if l.device.metal || l.o.KVType != KVF16 {
		return 0
	}
	return tiledRows
}

func (l *opening) backend(vocab *vocabulary, weights string, length, cells, trained int, reason string) (*Backend, error) {
	memory, err := binding.GetMemory(l.context)
	if err != nil {
		return nil, fmt.Errorf("llama: memory of the context: %w", err)
	}
	template, _ := binding.ModelMetaValStr(l.model, "tokenizer.chat_template")
	b := &Backend{
		lib: l.lib, model: l.model, context: l.context, memory: memory, vocab: vocab, status: l.status,
		limits: engine.Limits{Cells: cells, Context: length, Batch: l.o.Batch, Sequences: l.o.Parallel, Apart: l.apart()},
		info: engine.ModelInfo{
			Name:           l.o.Name,
			Architecture:   l.architecture(),
			Quantisation:   strings.TrimPrefix(binding.FtypeName(binding.ModelFtype(l.model)), "(guessed) "),
			Fingerprint:    fingerprint(weights, l.lib.release, template),
			Backend:        l.device.name(),
			ContextTrained: trained,
			Memory:         l.status.Memory,
			ContextReason:  reason,
			ChatTemplate:   template,
			BOS:            vocab.text(binding.VocabBOS(vocab.handle)),
			EOS:            vocab.text(binding.VocabEOS(vocab.handle)),
			AddBOS:         binding.VocabGetAddBOS(vocab.handle),
		},
		cells:     newCellTable(l.o.Parallel, cells),
		pending:   make([]int32, l.o.Parallel),
		spoiled:   make([]bool, l.o.Parallel),
		interrupt: l.interrupt,
	}
	if b.info.Name == "" {
		b.info.Name, _ = binding.ModelMetaValStr(l.model, "general.name")
	}
	if b.info.Name == "" {
		b.info.Name = strings.TrimSuffix(filepath.Base(l.o.ModelPath), ".gguf")
	}
	b.batch.init(l.o.Batch)
	b.batch.context = uintptr(l.context)
	return b, nil
}

func (l *opening) architecture() string {
	name, _ := binding.ModelMetaValStr(l.model, "general.architecture")
	return name
}

// allLayers is more than any model has; llama.cpp takes as many as there are.
const allLayers = 1 << 16

func (l *opening) modelParams() binding.ModelParams {
	p := binding.ModelDefaultParams()
	if l.device.metal {
		l.devices = []binding.GGMLBackendDevice{l.device.handle, 0}
		p.NGpuLayers = int32(l.o.GPULayers)
		if l.o.GPULayers < 0 {
			p.NGpuLayers = allLayers
		}
	} else {
		// An empty list, not none: none would take every device.
		l.devices = []binding.GGMLBackendDevice{0}
		p.NGpuLayers = 0
	}
	p.SplitMode = binding.SplitModeNone
	p.Devices = uintptr(unsafe.Pointer(&l.devices[0]))
	return p
}

func (l *opening) newContext(cells, batch, sequences int) (binding.Context, error) {
	p := binding.ContextDefaultParams()
	p.NCtx, p.NBatch, p.NUbatch, p.NSeqMax = uint32(cells), uint32(batch), uint32(batch), uint32(sequences)
	p.NThreads, p.NThreadsBatch = int32(l.o.Threads), int32(l.o.Threads)
	p.KVUnified = 1
	// With a smaller cache for layers with a sliding window, shared sequences
	// could fill that one while there is room in the other, so that steps fail
	// that were planned rightly.
	p.SwaFull = 1
	p.NoPerf = 1
	p.Embeddings = 0
	p.FlashAttentionType = binding.FlashAttentionTypeAuto
	kv := binding.GGMLTypeF16
	switch l.o.KVType {
	case KVQ8:
		kv = binding.GGMLTypeQ8_0
	case KVQ4:
		kv = binding.GGMLTypeQ4_0
	}
	if kv != binding.GGMLTypeF16 {
		// Quantised values are not possible without.
		p.FlashAttentionType = binding.FlashAttentionTypeEnabled
	}
	p.TypeK, p.TypeV = kv, kv
	p.Offload_kqv, p.OpOffload = 0, 0
	if l.device.metal {
		p.Offload_kqv, p.OpOffload = 1, 1
	}
	p.AbortCallback = l.lib.truth
	p.AbortCallbackData = uintptr(unsafe.Pointer(l.interrupt))
	l.lib.logs.startErrors()
	context, err := binding.InitFromModel(l.model, p)
	if err != nil {
		said := l.lib.logs.takeErrors()
		if said == "" {
			said = err.Error()
		}
		return 0, &LoadError{Path: l.o.ModelPath, Reason: fmt.Sprintf("no context of %d tokens with KV type %s: %s", cells, l.o.KVType, said)}
	}
	return context, nil
}

const (
	probeCells = minContext
	probeBatch = 32
)

// probe finds out, by trying, whether the loop can work with the model, and
// what a token takes in the KV cache.
func (l *opening) probe() error {
	unsupported := func(reason string) error {
		return &UnsupportedError{Architecture: l.architecture(), Reason: reason}
	}
	switch {
	case binding.ModelHasEncoder(l.model):
		return unsupported("it has an encoder")
	case !binding.ModelHasDecoder(l.model):
		return unsupported("it has no decoder: it does not generate text")
	case binding.ModelIsDiffusion(l.model):
		return unsupported("it generates by diffusion, not token by token")
	}
	context, err := l.newContext(probeCells, probeBatch, 1)
	if err != nil {
		return err
	}
	defer binding.Free(context) //nolint:errcheck // it can only fail for no context
	memory, err := binding.GetMemory(context)
	if err != nil || memory == 0 {
		return unsupported("it has no KV cache: it does not generate text")
	}
	vocabulary := &vocabulary{ends: make([]uint32, binding.VocabNTokens(binding.ModelGetVocab(l.model)))}
	b := &Backend{
		lib: l.lib, context: context, memory: memory, vocab: vocabulary, interrupt: l.interrupt,
		limits:  engine.Limits{Cells: probeCells, Context: probeCells, Batch: probeBatch, Sequences: 1},
		cells:   newCellTable(1, probeCells),
		pending: make([]int32, 1),
		spoiled: make([]bool, 1),
	}
	b.batch.init(probeBatch)
	b.batch.context = uintptr(context)
	var sizes [2]uint64
	for i := range sizes {
		if err := b.Step([]engine.Row{{Pos: int32(i), Logits: true}}); err != nil {
			return err
		}
		sizes[i] = binding.StateSeqGetSize(context, 0)
	}
	// What the second token took. A first one that took more has a state besides.
	l.status.KV = sizes[1] - sizes[0]
	if sizes[0] > 2*l.status.KV {
		l.perSequence = sizes[0] - l.status.KV
	}
	l.status.SlidingWindow = int(binding.ModelNSWA(l.model))
	switch cut := b.removeNative(0, 1); {
	case binding.ModelIsHybrid(l.model):
		l.recurrent = "some of its layers keep a running state instead of tokens"
	case binding.ModelIsRecurrent(l.model):
		l.recurrent = "it keeps a running state instead of tokens"
	case !cut:
		l.recurrent = "the library could not remove the second of two tokens"
	}
	return nil
}

// memoryKind says what can be done with a sequence of at most length tokens.
func (l *opening) memoryKind(length int) (engine.MemoryKind, string) {
	window := l.status.SlidingWindow
	switch {
	case l.recurrent != "":
		return engine.MemoryWhole, l.recurrent
	case window > 0 && window < length:
		// The library uses the cells of tokens that are out of the window for
		// others, also in a cache of full size, so what a shorter sequence would
		// need may be gone.
		return engine.MemoryWhole, fmt.Sprintf("some of its layers see the last %d tokens only, and the others are dropped", window)
	case window > 0:
		return engine.MemoryCells, fmt.Sprintf("no sequence is longer than its sliding window of %d tokens", window)
	}
	return engine.MemoryCells, "the second of two tokens could be removed"
}

// maskBytes is what each cell costs in the attention mask of a row.
const maskBytes = 4

// computeBytes estimates the buffers of a step: the logits of every row in the
// graph, those of one row of each sequence as output, and the widest layers.
func (l *opening) computeBytes() uint64 {
	vocabulary := uint64(binding.VocabNTokens(binding.ModelGetVocab(l.model)))
	width := uint64(binding.ModelNEmbd(l.model))
	const wide = 32
	return 4 * (uint64(l.o.Batch)*(vocabulary+wide*width) + uint64(l.o.Parallel)*vocabulary)
}

// fingerprint names what a stream's continuation depends on: weights, release
// of the runtime and chat template. Not in it: the type of the KV cache, the
// device and the threads, which change bits but not the model; what stores
// cache contents has to add them.
func fingerprint(weights, release, template string) string {
	h := sha256.New()
	for _, part := range []string{"semantic model 1", strings.ToLower(weights), strings.TrimPrefix(release, "v"), template} {
		var length [8]byte
		binary.LittleEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write([]byte(part))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

var splitPattern = regexp.MustCompile(`^(.*)-(\d{5})-of-(\d{5})\.gguf$`)

// parts lists the files of a model: itself, or every part of its split set.
func parts(path string) ([]string, error) {
	m := splitPattern.FindStringSubmatch(path)
	if m == nil {
		return []string{path}, nil
	}
	count, err := strconv.Atoi(m[3])
	if err != nil || count < 1 {
		return nil, &LoadError{Path: path, Reason: "its name says that it is a part of no parts"}
	}
	files := make([]string, count)
	for i := range files {
		files[i] = fmt.Sprintf("%s-%05d-of-%s.gguf", m[1], i+1, m[3])
	}
	if path != files[0] {
		return nil, &LoadError{Path: path, Reason: "this is not the first part of the model; name " + files[0]}
	}
	return files, nil
}

// checkFile says early, and in more words than the library has, what is wrong
// with a file.
func checkFile(path string) error {
	files, err := parts(path)
	if err != nil {
		return err
	}
	for i, file := range files {
		if err := checkHeader(file); err != nil {
			if len(files) > 1 {
				return &LoadError{Path: path, Reason: fmt.Sprintf("part %d of %d", i+1, len(files)), Cause: err}
			}
			return err
		}
	}
	return nil
}

func checkHeader(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return &LoadError{Path: path, Reason: "cannot open it", Cause: err}
	}
	defer f.Close() //nolint:errcheck // only read
	// Magic, version, number of tensors, number of metadata entries.
	var header [24]byte
	if _, err := io.ReadFull(f, header[:]); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return &LoadError{Path: path, Reason: "it is shorter than the header of a GGUF file"}
		}
		return &LoadError{Path: path, Reason: "cannot read it", Cause: err}
	}
	if string(header[:4]) != "GGUF" {
		return &LoadError{Path: path, Reason: "it is not a GGUF file"}
	}
	switch version := binary.LittleEndian.Uint32(header[4:]); {
	case version&0xffff == 0:
		return &LoadError{Path: path, Reason: "it is a big-endian GGUF file"}
	case version < 2:
		return &LoadError{Path: path, Reason: fmt.Sprintf("it is a GGUF file of the old version %d", version)}
	}
	return nil
}

// hashFiles is the SHA-256 of a model's file; of a split set, of the hashes of
// its parts.
func hashFiles(ctx context.Context, path string) (string, error) {
	files, err := parts(path)
	if err != nil {
		return "", err
	}
	hashes := make([]string, len(files))
	for i, file := range files {
		if hashes[i], err = hashFile(ctx, file); err != nil {
			return "", &LoadError{Path: file, Reason: "cannot hash it", Cause: err}
		}
	}
	if len(hashes) == 1 {
		return hashes[0], nil
	}
	sum := sha256.Sum256([]byte(strings.Join(hashes, "\n")))
	return hex.EncodeToString(sum[:]), nil
}

func hashFile(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err //nolint:wrapcheck // hashFiles does
	}
	defer f.Close() //nolint:errcheck // only read
	h := sha256.New()
	buffer := make([]byte, 1<<20)
	for {
		if ctx.Err() != nil {
			return "", context.Cause(ctx) //nolint:wrapcheck // hashFiles does
		}
		n, err := f.Read(buffer)
		h.Write(buffer[:n])
		if errors.Is(err, io.EOF) {
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return "", err //nolint:wrapcheck // hashFiles does
		}
	}
}
