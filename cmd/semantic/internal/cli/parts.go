package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/models"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/native"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/progress"
	"github.com/semantic-worker/semantic/deploy"
)

// nativeParts are what a worker with a real model needs from this machine.
type nativeParts struct {
	// libraries is the folder of the native runtime, of the release version.
	libraries, version string
	model              models.Model
}

// nativeParts finds them; what is missing is an error that says how to get it.
func (a *app) nativeParts(ctx context.Context, c *config.Loaded) (nativeParts, error) {
	report := progress.New(a.Err, terminal(a.Err))
	dir, err := a.home()
	if err != nil {
		return nativeParts{}, err
	}
	lock, err := deploy.RuntimeLock()
	if err != nil {
		return nativeParts{}, err
	}
	p := nativeParts{version: lock.LlamaCPP}
	if p.libraries, err = native.Installed(dir); err != nil {
		return nativeParts{}, err
	}
	name := c.Model
	if name == "" {
		name = lock.DefaultModel.Name
	}
	p.model, err = models.Open(dir).Resolve(ctx, name, report)
	return p, err
}

// modelName is the name under which the worker of the configuration will
// serve, as far as that is known before the model file is read; else empty.
func (a *app) modelName(c *config.Loaded) (string, error) {
	switch {
	case c.Backend == backendSim:
		return simName(c), nil
	case c.Model == "":
		lock, err := deploy.RuntimeLock()
		return lock.DefaultModel.Name, err
	case models.ValidName(c.Model) == nil && !isFile(c.Model):
		return c.Model, nil
	}
	return "", nil
}

// shownModel is the model of the configuration for people: its name, or the
// name of its file.
func (a *app) shownModel(c *config.Loaded) string {
	if name, err := a.modelName(c); err == nil && name != "" {
		return name
	}
	return filepath.Base(c.Model)
}

// expectedModels are the models that the gateway is to know before the worker
// announced them. A model that is to be here is looked for, so that one that is
// not ends the command before anything is fetched or served; a file gets the
// name that the worker will give it. A file's hash, which takes a while the
// first time, is remembered for the worker.
func (a *app) expectedModels(ctx context.Context, c *config.Loaded) ([]string, error) {
	name, err := a.modelName(c)
	if err != nil || c.Backend == backendSim {
		return []string{name}, err
	}
	dir, err := a.home()
	if err != nil {
		return nil, err
	}
	store := models.Open(dir)
	standard, err := store.Default()
	if err != nil || name == standard { // which is fetched
		return []string{name}, err
	}
	model, err := store.Resolve(ctx, c.Model, progress.New(a.Err, terminal(a.Err)))
	if err != nil {
		return nil, err
	}
	return []string{model.Name}, nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

// fetchParts fetches what the worker of the configuration needs and this
// machine does not have: the native runtime and the default model. Any other
// model that is missing is an error.
func (a *app) fetchParts(ctx context.Context, c *config.Loaded) error {
	if c.Backend == backendSim {
		return nil
	}
	report := progress.New(a.Err, terminal(a.Err))
	dir, err := a.home()
	if err != nil {
		return err
	}
	if _, err := native.Installed(dir); errors.Is(err, native.ErrNotInstalled) {
		if err := native.Install(ctx, native.Options{Home: dir, Progress: report}); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	store := models.Open(dir)
	name, err := store.Default()
	if err != nil {
		return err
	}
	if c.Model != "" && c.Model != name {
		_, err := store.Resolve(ctx, c.Model, report)
		return err
	}
	if _, err := store.Resolve(ctx, name, report); !errors.Is(err, models.ErrNotFound) {
		return err
	}
	m, err := store.Pull(ctx, name, models.PullOptions{Progress: report})
	if err != nil {
		return err
	}
	_, err = a.quicken(ctx, store, m, c.Backend)
	return err
}
