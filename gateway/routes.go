package gateway

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// routeOther is the route label of requests that match none.
const routeOther = "other"

// route is one path with what each method does there.
type route struct {
	path string
	// api routes are tracked, authenticated and refused while stopping.
	api bool
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
		{path: "/v1/chat/completions", api: true, methods: post(g.chatCompletions)},
		{path: "/v1/models", api: true, methods: get(g.listModels)},
		{path: "/v1/models/{id...}", api: true, methods: get(g.getModel)},
		{path: "/metrics", quiet: true, methods: get(g.authenticatedMetrics())},
		{path: "/health", quiet: true, methods: get(g.healthReady)},
		{path: "/health/live", quiet: true, methods: get(g.healthLive)},
		{path: "/health/ready", quiet: true, methods: get(g.healthReady)},
		{path: "/health/startup", quiet: true, methods: get(g.healthStartup)},
	}
}

// handler puts routes and middlewares together.
func (g *Gateway) handler() http.Handler {
	mux := http.NewServeMux()
	routes := g.routes()
	for _, rt := range routes {
		mux.Handle(rt.path, g.routeHandler(rt))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { noRoute(w, r, routes) })
	return g.identify(g.observe(g.recoverPanic(g.guard(mux))))
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
				"%s does not answer %s; it answers %s.", rt.path, r.Method, strings.Join(allow, ", "))})
			return
		}
		h(w, r)
	})
	if rt.api {
		pick = g.track(g.authenticate(pick))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := callOf(r)
		c.route, c.quiet = rt.path, rt.quiet
		if !rt.api {
			// Tracked requests bound each write by itself.
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(g.config.WriteTimeout))
		}
		pick.ServeHTTP(w, r)
	})
}

func noRoute(w http.ResponseWriter, r *http.Request, routes []route) {
	message := fmt.Sprintf("There is no route %s %s.", r.Method, r.URL.Path)
	if slices.ContainsFunc(routes, func(rt route) bool { return rt.path == "/v1"+r.URL.Path }) {
		message += fmt.Sprintf(" Did you mean /v1%s? A client's base URL ends in /v1.", r.URL.Path)
	}
	refuse(w, r, &failure{code: schemas.CodeNotFound, message: message})
}
