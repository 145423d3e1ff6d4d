package gateway

import (
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// The APIs: what requests are counted by, so their variety is bounded.
const (
	apiChat        = "chat_completions"
	apiCompletions = "completions"
	apiModels      = "models"
	apiJobs        = "jobs"
	apiJobEvents   = "job_events"
	apiMetrics     = "metrics"
	apiHealth      = "health"
	apiAdmin       = "admin"
	apiOther       = "other" // requests that match no route, or are refused before
)

// trackedAPIs are those whose requests stopping waits for.
func trackedAPIs() []string {
	return []string{apiChat, apiCompletions, apiModels, apiJobs, apiJobEvents}
}

func apis() []string { return append(trackedAPIs(), apiMetrics, apiHealth, apiAdmin, apiOther) }

// route is one path with what each method does there.
type route struct {
	path string
	// api is what its requests are counted by.
	api string
	// tracked routes are authenticated, waited for by stopping, and refused while
	// it does.
	tracked bool
	// quiet routes log at debug.
	quiet   bool
	methods map[string]http.HandlerFunc
}

// get serves HEAD, too; net/http leaves the body out.
func get(h http.HandlerFunc) map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{http.MethodGet: h, http.MethodHead: h}
}

func post(h http.HandlerFunc) map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{http.MethodPost: h}
}

func (g *Gateway) routes() []route {
	return []route{
		{path: "/v1/chat/completions", api: apiChat, tracked: true, methods: post(g.chatCompletions)},
		{path: "/v1/completions", api: apiCompletions, tracked: true, methods: post(g.completions)},
		{path: "/v1/models", api: apiModels, tracked: true, methods: get(g.listModels)},
		{path: "/v1/models/{id...}", api: apiModels, tracked: true, methods: get(g.getModel)},
		{path: "/v1/jobs/{id}", api: apiJobs, tracked: true, methods: map[string]http.HandlerFunc{
			http.MethodGet: g.getJob, http.MethodHead: g.getJob, http.MethodDelete: g.deleteJob,
		}},
		{path: "/v1/jobs/{id}/events", api: apiJobEvents, tracked: true, methods: map[string]http.HandlerFunc{http.MethodGet: g.jobEvents}},
		{path: "/metrics", api: apiMetrics, quiet: true, methods: get(g.authenticatedMetrics())},
		{path: "/health", api: apiHealth, quiet: true, methods: get(g.healthReady)},
		{path: "/health/live", api: apiHealth, quiet: true, methods: get(g.healthLive)},
		{path: "/health/ready", api: apiHealth, quiet: true, methods: get(g.healthReady)},
		{path: "/health/startup", api: apiHealth, quiet: true, methods: get(g.healthStartup)},
	}
}

// handler puts routes and middlewares together.
func (g *Gateway) handler() http.Handler {
	mux := http.NewServeMux()
	routes := g.routes()
	for _, rt := range routes {
		mux.Handle(rt.path, g.routeHandler(rt))
	}
	none := noRoute(routes)
	mux.Handle("/", none)
	mux.Handle("/v1/models/{$}", none) // no model has an empty name
	return g.identify(g.observe(g.recoverPanic(g.guard(plainTargets(mux, none)))))
}

// plainTargets keeps from the mux what it would answer by itself, with a
// redirect or in plain text: paths that have a shorter form (//, /./, /../),
// and targets that are none ("*", an authority).
func plainTargets(mux, none http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		target := r.URL.EscapedPath()
		if r.RequestURI == "*" || !strings.HasPrefix(target, "/") || shortest(target) != target {
			none.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// shortest cleans a path as the mux does: a slash at the end stays.
func shortest(target string) string {
	short := path.Clean(target)
	if strings.HasSuffix(target, "/") && short != "/" {
		short += "/"
	}
	return short
}

// routeHandler labels the request with its route and picks the method. The mux
// is not asked to match methods, because its own 405 is not shaped as OpenAI's.
func (g *Gateway) routeHandler(rt route) http.Handler {
	allow := make([]string, 0, len(rt.methods))
	for method := range rt.methods {
		allow = append(allow, method)
	}
	slices.Sort(allow)
	var pick http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, ok := rt.methods[r.Method]
		if !ok {
			w.Header().Set("Allow", strings.Join(allow, ", "))
			refuse(w, r, &failure{code: schemas.CodeMethodNotAllowed, message: fmt.Sprintf(
				"%s does not answer %s; it answers %s.", shown(r.URL.Path), shown(r.Method), strings.Join(allow, ", "))})
			return
		}
		h(w, r)
	})
	if rt.tracked {
		pick = g.track(g.authenticate(pick))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := callOf(r)
		c.route, c.api, c.quiet = rt.path, rt.api, rt.quiet
		if !rt.tracked {
			// Tracked requests bound each write by itself.
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(g.config.WriteTimeout))
		}
		pick.ServeHTTP(w, r)
	})
}

// noRoute refuses what has no route, and names the one that may be meant.
func noRoute(routes []route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		target := r.URL.Path
		if target == "" {
			target = r.RequestURI
		}
		message := fmt.Sprintf("There is no route %s %s.", shown(r.Method), shown(target))
		if meant, ok := nearRoute(routes, target); ok {
			message += fmt.Sprintf(" Did you mean %s? A client's base URL ends in /v1.", meant)
		}
		refuse(w, r, &failure{code: schemas.CodeNotFound, message: message})
	})
}

// nearRoute mends what base URLs are often wrong in: slashes, and a /v1 that is
// missing or there twice.
func nearRoute(routes []route, target string) (string, bool) {
	short := path.Clean("/" + target)
	for _, meant := range []string{short, "/v1" + short, strings.TrimPrefix(short, "/v1")} {
		if slices.ContainsFunc(routes, func(rt route) bool { return rt.path == meant }) {
			return meant, true
		}
	}
	return "", false
}
