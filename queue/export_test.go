package queue

import "time"

// HomeOf is the worker whose the jobs of a flow are, as this queue sees it.
func (q *Queue) HomeOf(model string, flow int) string {
	h := homes{model: model}
	h.look(q.registry, "", time.Now())
	return h.flows[flow].worker
}
