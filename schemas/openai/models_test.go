package openai_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/openai"
)

func TestModelList(t *testing.T) {
	workers := []schemas.WorkerStatus{
		{ID: "b", Model: "tiny", Context: 4096, StartedAt: time.Unix(200, 0)},
		{ID: "a", Model: "tiny", Context: 8192, StartedAt: time.Unix(100, 0), Draining: true, ContextReason: "fits"},
		{ID: "c", Model: "big", Context: 100, StartedAt: time.Unix(300, 0), Draining: true},
	}
	list := openai.NewModelList([]string{"tiny", "gone"}, workers)
	if list.Object != "list" || len(list.Data) != 3 {
		t.Fatalf("got %+v", list)
	}
	for i, want := range []struct {
		id, status string
		created    int64
		length     int
		workers    []string
	}{
		{"big", openai.StatusDraining, 300, 100, []string{"c"}},
		{"gone", openai.StatusWaiting, 0, 0, nil},
		{"tiny", openai.StatusReady, 100, 8192, []string{"a", "b"}},
	} {
		m := list.Data[i]
		var ids []string
		for _, w := range m.Semantic.Workers {
			ids = append(ids, w.ID)
		}
		if m.ID != want.id || m.Semantic.Status != want.status || m.Created != want.created ||
			m.MaxModelLen != want.length || !reflect.DeepEqual(ids, want.workers) || m.Object != "model" {
			t.Errorf("got %+v, want %+v", m, want)
		}
	}
}
