package gateway

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/openai"
)

// settingView is a setting of one process; Before is what it was, in the answer to a
// change.
type settingView struct {
	// Process is "worker" or "gateway".
	Process string `json:"process"`
	// Worker is the worker's id; empty for the gateway.
	Worker   string        `json:"worker,omitempty"`
	WindowMS *float64      `json:"window_ms,omitempty"`
	Level    string        `json:"level,omitempty"`
	Before   *settingView  `json:"before,omitempty"`
	Error    *openai.Error `json:"error,omitempty"`
}

// settingsView is the answer about a setting of several processes. What was set lasts as
// long as the process.
type settingsView struct {
	Object string        `json:"object"`
	Lasts  string        `json:"lasts"`
	Data   []settingView `json:"data"`
}

// setting is what there is to read and change about workers.
type setting struct {
	name string
	view func(worker string, s queue.WorkerSettings) settingView
}

func windowSetting() setting {
	return setting{name: "batch_window", view: func(worker string, s queue.WorkerSettings) settingView {
		return settingView{Process: processWorker, Worker: worker, WindowMS: &s.BatchWindowMS}
	}}
}

func levelSetting() setting {
	return setting{name: "log_level", view: func(worker string, s queue.WorkerSettings) settingView {
		return settingView{Process: processWorker, Worker: worker, Level: s.LogLevel}
	}}
}

const (
	processWorker  = "worker"
	processGateway = "gateway"
)

// value is the setting for people and logs.
func (v settingView) value() any {
	if v.WindowMS != nil {
		return *v.WindowMS
	}
	return v.Level
}

// targetsOf are the workers that a request is about: the one of its path, or all.
func (a *Admin) targetsOf(ctx context.Context, r *http.Request) ([]string, error) {
	if id := r.PathValue("id"); id != "" {
		status, err := a.queue.Worker(ctx, id)
		return []string{status.ID}, err
	}
	workers, err := a.queue.Workers(ctx)
	ids := make([]string, len(workers))
	for i, w := range workers {
		ids[i] = w.ID
	}
	return ids, err
}

// readSetting asks the workers of a request for a setting. It returns what is to be
// answered.
func (a *Admin) readSetting(ctx context.Context, r *http.Request, s setting) ([]settingView, error) {
	return a.eachWorker(ctx, r, func(id string) (settingView, error) {
		report, err := a.queue.Report(ctx, id)
		if err == nil && report.Settings == nil {
			err = &queue.OutdatedError{Worker: id, Kind: s.name}
		}
		if err != nil {
			return settingView{}, err
		}
		return s.view(id, *report.Settings), nil
	})
}

// changeSetting changes a setting of the workers of a request.
func (a *Admin) changeSetting(
	ctx context.Context, r *http.Request, s setting, change func(id string) (queue.Changed, error),
) ([]settingView, error) {
	return a.eachWorker(ctx, r, func(id string) (settingView, error) {
		c, err := change(id)
		if err != nil {
			audit(ctx, r, s.name, id, nil, nil, err)
			return settingView{}, err
		}
		v, before := s.view(id, c.After), s.view(id, c.Before)
		v.Before = &settingView{Process: before.Process, WindowMS: before.WindowMS, Level: before.Level}
		audit(ctx, r, s.name, id, before.value(), v.value(), nil)
		return v, nil
	})
}

// eachWorker does something with each worker of a request at once. The error of the
// one that the path names is the request's; of several, each has its own.
func (a *Admin) eachWorker(ctx context.Context, r *http.Request, do func(id string) (settingView, error)) ([]settingView, error) {
	ids, err := a.targetsOf(ctx, r)
	if err != nil {
		return nil, err
	}
	views, errs := make([]settingView, len(ids)), make([]error, len(ids))
	var all sync.WaitGroup
	for i, id := range ids {
		all.Go(func() { views[i], errs[i] = do(id) })
	}
	all.Wait()
	if r.PathValue("id") != "" {
		return views, errs[0]
	}
	for i, err := range errs {
		if err != nil {
			views[i] = settingView{Process: processWorker, Worker: ids[i], Error: a.errorOf(ctx, err)}
		}
	}
	return views, nil
}

// answerSettings tells what was found or done: 207 where some did not do it.
func (a *Admin) answerSettings(ctx context.Context, w http.ResponseWriter, r *http.Request, s setting, views []settingView, err error) {
	if err != nil {
		refuse(w, r, a.workerFailure(ctx, err))
		return
	}
	status := http.StatusOK
	for _, v := range views {
		if v.Error != nil {
			status = http.StatusMultiStatus
		}
	}
	if views == nil {
		views = []settingView{}
	}
	writeJSON(w, r, status, mustJSON(settingsView{Object: s.name, Lasts: "until_restart", Data: views}))
}

// getBatchWindow answers GET …/batch-window, of one worker or of all.
func (a *Admin) getBatchWindow(w http.ResponseWriter, r *http.Request) {
	if !noBody(w, r) {
		return
	}
	ctx, cancel := a.looking(r)
	defer cancel()
	views, err := a.readSetting(ctx, r, windowSetting())
	a.answerSettings(ctx, w, r, windowSetting(), views, err)
}

// setBatchWindow answers PUT …/batch-window. All workers are those that live now;
// where there is none, that is said.
func (a *Admin) setBatchWindow(w http.ResponseWriter, r *http.Request) {
	request, ok := readAdmin(w, r, false, schemas.DecodeBatchWindowChange)
	if !ok {
		return
	}
	ctx, cancel := a.acting(r)
	defer cancel()
	views, err := a.changeSetting(ctx, r, windowSetting(), func(id string) (queue.Changed, error) {
		return a.queue.SetBatchWindow(ctx, id, request.Window())
	})
	if err == nil && len(views) == 0 {
		err = queue.ErrNoWorker
	}
	a.answerSettings(ctx, w, r, windowSetting(), views, err)
}

// getLogLevel answers GET …/log-level: of one worker, or of the gateway and all
// workers.
func (a *Admin) getLogLevel(w http.ResponseWriter, r *http.Request) {
	if !noBody(w, r) {
		return
	}
	ctx, cancel := a.looking(r)
	defer cancel()
	views, err := a.readSetting(ctx, r, levelSetting())
	if r.PathValue("id") == "" && err == nil {
		views = append([]settingView{a.ownLevel()}, views...)
	}
	a.answerSettings(ctx, w, r, levelSetting(), views, err)
}

// setLogLevel answers PUT …/log-level.
func (a *Admin) setLogLevel(w http.ResponseWriter, r *http.Request) {
	request, ok := readAdmin(w, r, false, schemas.DecodeLogLevelChange)
	if !ok {
		return
	}
	ctx, cancel := a.acting(r)
	defer cancel()
	views, err := a.changeSetting(ctx, r, levelSetting(), func(id string) (queue.Changed, error) {
		return a.queue.SetLogLevel(ctx, id, strings.ToLower(request.Level))
	})
	if r.PathValue("id") == "" && err == nil {
		views = append([]settingView{a.changeOwnLevel(ctx, r, request)}, views...)
	}
	a.answerSettings(ctx, w, r, levelSetting(), views, err)
}

// getOwnLevel answers GET /admin/v1/gateway/log-level.
func (a *Admin) getOwnLevel(w http.ResponseWriter, r *http.Request) {
	if noBody(w, r) {
		a.answerOwn(w, r, a.ownLevel())
	}
}

// setOwnLevel answers PUT /admin/v1/gateway/log-level.
func (a *Admin) setOwnLevel(w http.ResponseWriter, r *http.Request) {
	if request, ok := readAdmin(w, r, false, schemas.DecodeLogLevelChange); ok {
		a.answerOwn(w, r, a.changeOwnLevel(r.Context(), r, request))
	}
}

func (a *Admin) answerOwn(w http.ResponseWriter, r *http.Request, v settingView) {
	if v.Error != nil {
		refuse(w, r, endFailure(v.Error))
		return
	}
	a.answerSettings(r.Context(), w, r, levelSetting(), []settingView{v}, nil)
}

var errFixedLevel = errors.New("the log level of this process is fixed")

// ownLevel is the level of this process's lines.
func (a *Admin) ownLevel() settingView {
	if a.level == nil {
		return settingView{Process: processGateway, Error: openai.NewError(schemas.CodeUnsupportedParameter, "level", errFixedLevel.Error())}
	}
	return settingView{Process: processGateway, Level: schemas.LogLevelName(a.level.Level())}
}

func (a *Admin) changeOwnLevel(ctx context.Context, r *http.Request, request schemas.LogLevelChange) settingView {
	before := a.ownLevel()
	if before.Error != nil {
		audit(ctx, r, levelSetting().name, processGateway, nil, nil, errFixedLevel)
		return before
	}
	level, err := schemas.ParseLogLevel(request.Level)
	if err != nil { // it was read
		return settingView{Process: processGateway, Error: openai.NewError(schemas.CodeInternal, "level", err.Error())}
	}
	// The lines of changes are in the order of the changes.
	a.levelMu.Lock()
	defer a.levelMu.Unlock()
	before = a.ownLevel()
	a.level.Set(level)
	after := a.ownLevel()
	after.Level, after.Before = schemas.LogLevelName(level), &settingView{Process: processGateway, Level: before.Level}
	audit(ctx, r, levelSetting().name, processGateway, before.Level, after.Level, nil)
	return after
}
