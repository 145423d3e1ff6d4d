package sse_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/sse"
)

func TestScanner(t *testing.T) {
	lines := 0
	text := ": here\n\nid: 1.0\ndata: a\n\nevent: x\ndata:b: c\n\nid:2.0\n\ndata: d\n\nid: 3.0\ndata: cut"
	s := sse.NewScanner(strings.NewReader(text), 1<<10)
	s.Alive = func() { lines++ }
	var got []string
	for s.Next() {
		got = append(got, s.ID+" "+s.Data)
	}
	if want := []string{"1.0 a", "1.0 b: c", "2.0 d"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if s.Err() != nil || lines != 14 {
		t.Errorf("%d lines, %v", lines, s.Err())
	}
	if s.ID != "2.0" {
		t.Errorf("what broke off counts: %q", s.ID)
	}
}

func TestScannerLongLine(t *testing.T) {
	s := sse.NewScanner(strings.NewReader("data: "+strings.Repeat("x", 1<<17)+"\n\n"), 1<<16)
	if s.Next() || s.Err() == nil {
		t.Error("a line over the bound is read")
	}
}
