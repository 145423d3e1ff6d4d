package gateway

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/semantic-worker/semantic/schemas"
)

// bytesOf is what the last line of a request says of its response.
func (b *bench) bytesOf(requestID string) any {
	b.t.Helper()
	return b.endLine(b.t, requestID)[schemas.LogResponseBytes]
}

// HEAD sends no body, and none is counted.
func TestHeadCountsNoBytes(t *testing.T) {
	b := startBench(t, expectM)
	for i, path := range []string{"/v1/models", "/v1/models/m", "/metrics", "/health", "/health/ready", "/v1/jobs/none"} {
		id := fmt.Sprintf("head-%d", i)
		resp := b.do(http.MethodHead, path, "", headerRequestID, id)
		if data, err := io.ReadAll(resp.Body); err != nil || len(data) > 0 {
			t.Errorf("%s: %d bytes, %v", path, len(data), err)
		}
		if got := b.bytesOf(id); got != 0.0 {
			t.Errorf("%s: %v bytes logged", path, got)
		}
	}
	b.wantMetric(t, `semantic_response_bytes_total{api="models"} 0`)
}

// A client that aborts at any point is counted once, leaves nothing open, and its
// line says how much it got.
func TestAbortsLeaveNothingOpen(t *testing.T) {
	b := startBench(t)
	h := b.hold()
	whole := rawPost(chatBody("", true), headerRequestID+": aborted\r\n")
	for _, sent := range []int{1, len(whole) / 4, len(whole) - 1} {
		_ = b.dial(whole[:sent]).Close()
	}
	conn := b.dial(whole)
	<-h.started
	if _, err := conn.Read(make([]byte, 1)); err != nil { // a part of the head
		t.Fatal(err)
	}
	if err := conn.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if id := <-h.cancelled; id == "" {
		t.Error("no id")
	}
	if got, ok := b.endLine(t, "aborted")[schemas.LogResponseBytes].(float64); !ok || got <= 0 {
		t.Errorf("%v bytes", got)
	}
	b.wantMetric(t, `semantic_requests_active{api="chat_completions"} 0`)
	b.wantMetric(t, `semantic_cancellations_total{cause="client_left"} 1`)
	b.wantMetric(t, `semantic_request_total{api="chat_completions",class="normal",code="cancelled",model="m",status="499"} 1`)
}

// Labels are of bounded variety, whatever clients send.
func TestGarbageMakesNoSeries(t *testing.T) {
	b := startBench(t, expectM)
	var clients sync.WaitGroup
	for i := range 60 {
		clients.Go(func() {
			name := fmt.Sprintf("x%d", i)
			for _, send := range []func() reply{
				func() reply { return b.do(http.MethodGet, "/"+name, "") },
				func() reply { return b.do(name, "/v1/models", "") },
				func() reply { return b.do(http.MethodGet, "/v1/models/"+name, "") },
				func() reply { return b.do(http.MethodGet, "/v1/jobs/"+name, "") },
				func() reply { return b.do(http.MethodGet, "/v1/models", "", "Host", name) },
				func() reply { return b.post(chatBody(name, false), headerClass, name) },
				func() reply { return b.post(strings.Replace(chatBody("", false), `"m"`, `"`+name+`"`, 1)) },
				func() reply { return b.post(`{"` + name + `":1}`) },
			} {
				_ = send()
			}
		})
	}
	clients.Wait()
	eventually(t, "all are counted", func() bool { return b.sum("semantic_request_total", nil) == 480 })
	if n := len(b.series("semantic_request_total")); n > 10 {
		t.Errorf("%d series", n)
	}
}

// While it stops, what is open goes on and is seen, and what is new is refused with
// a word on when to come back.
func TestStoppingIsSeen(t *testing.T) {
	b := startBench(t)
	h := b.hold()
	leave := b.inBackground(chatBody("", true))
	<-h.started
	b.g.Refuse()
	for range 3 {
		wantError(t, b.post(chatBody("late", false)), schemas.CodeServerRestarting)
	}
	b.wantMetric(t, `semantic_request_rejections_total{api="chat_completions",code="server_restarting"} 3`)
	b.wantMetric(t, `semantic_requests_active{api="chat_completions"} 1`)
	h.goOn <- struct{}{}
	b.wantMetric(t, `semantic_requests_active{api="chat_completions"} 0`)
	leave()
	b.wantMetric(t, `semantic_request_total{api="chat_completions",class="normal",code="ok",model="m",status="200"} 1`)
}
