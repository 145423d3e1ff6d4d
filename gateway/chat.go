package gateway

import "net/http"

// chatCompletions answers POST /v1/chat/completions.
func (g *Gateway) chatCompletions(w http.ResponseWriter, r *http.Request) {
	refuse(w, r, restarting())
}
