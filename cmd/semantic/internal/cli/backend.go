package cli

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/home"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/models"
	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/chat"
	"github.com/semantic-worker/semantic/engine/llama"
	"github.com/semantic-worker/semantic/engine/sim"
)

// backendSim is the backend without a model.
const backendSim = "sim"

// modelArgs are the settings of [modelFlags] as arguments of another process of
// this program, so that it depends on no file or variable.
func modelArgs(c *config.Loaded) []string {
	return []string{
		"--model", c.Model, "--backend", c.Backend, "--ctx", strconv.Itoa(c.Context), "--parallel", strconv.Itoa(c.Parallel),
		"--kv-type", c.KVType, "--gpu-layers", strconv.Itoa(c.GPULayers), "--threads", strconv.Itoa(c.Threads),
		"--sim-step", c.SimStep.String(), "--sim-prefill-rate", strconv.Itoa(c.SimPrefillRate),
	}
}

// childEnviron is the environment of another process of this program that gets
// its settings as arguments: without those that are set here, which are none of
// its business, like the API key.
func (a *app) childEnviron() []string {
	return slices.DeleteFunc(slices.Clone(a.Environ()), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return strings.HasPrefix(name, "SEMANTIC_") && name != home.Variable
	})
}

// openBackend loads what the configuration names. The caller closes the
// backend.
func (a *app) openBackend(ctx context.Context, c *config.Loaded) (engine.Backend, *chat.Template, error) {
	return a.openBackendOf(ctx, c, 0)
}

// openBackendOf is openBackend with a KV cache of so many tokens; 0 lets the
// backend choose.
func (a *app) openBackendOf(ctx context.Context, c *config.Loaded, cells int) (engine.Backend, *chat.Template, error) {
	var backend engine.Backend
	var err error
	if c.Backend == backendSim {
		backend, err = sim.New(sim.Options{
			Name: simName(c), Context: c.Context, Cells: cells, Sequences: c.Parallel,
			PrefillTokensPerSecond: float64(c.SimPrefillRate), DecodeStep: c.SimStep,
		})
	} else {
		backend, err = a.openLlama(ctx, c, cells)
	}
	if err != nil {
		return nil, nil, err
	}
	info := backend.Info()
	template, err := chat.Parse(info.ChatTemplate, info.Name, info.BOS, info.EOS)
	if err != nil {
		_ = backend.Close()
		return nil, nil, err
	}
	return backend, template, nil
}

func simName(c *config.Loaded) string {
	if c.Model == "" {
		return backendSim
	}
	return c.Model
}

func (a *app) openLlama(ctx context.Context, c *config.Loaded, cells int) (engine.Backend, error) {
	p, err := a.nativeParts(ctx, c)
	if err != nil {
		return nil, err
	}
	var cpu models.File
	if v := p.model.Requantised; v != nil {
		cpu = v.File
	}
	backend, err := llama.Open(ctx, llama.Options{
		LibDir: p.libraries, RuntimeVersion: p.version,
		ModelPath: p.model.Path, Name: p.model.Name, WeightsHash: p.model.SHA256,
		CPUModelPath: cpu.Path, CPUWeightsHash: cpu.SHA256,
		Backend: c.Backend, Context: c.Context, Cells: cells, Parallel: c.Parallel, KVType: c.KVType,
		GPULayers: c.GPULayers, Threads: c.Threads, Logger: a.Log,
	})
	if err != nil {
		return nil, llamaHint(err)
	}
	return backend, nil
}

// llamaHint says which setting or command mends the error.
func llamaHint(err error) error {
	var (
		fit     *llama.ContextFitError
		threads *llama.ThreadsError
		device  *llama.DeviceError
		load    *llama.LoadError
	)
	switch {
	case errors.As(err, &fit):
		return withHint(err, "Leave --ctx out to take what fits; fewer --parallel sequences need less memory.")
	case errors.As(err, &threads):
		return withHint(err, "Leave --threads out to take what is best here.")
	case errors.As(err, &device):
		return withHint(err, "Leave --backend and --gpu-layers out to take what this machine has.")
	case errors.As(err, &load):
		return withHint(err, "`semantic model list` shows what is known of the file; `semantic doctor` looks for the cause.")
	}
	return err
}
