package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/sim"
)

func Example() {
	backend, err := sim.New(sim.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	e, err := engine.New(engine.Options{Backend: backend})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { fmt.Println("closed:", e.Close()) }()

	ctx := context.Background()
	prompt, err := e.Vocabulary().Tokenize("<|im_start|>user\nwords=4<|im_end|>\n<|im_start|>assistant\n", true)
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := e.Submit(ctx, engine.Request{ID: "greeting", Prompt: prompt})
	if err != nil {
		fmt.Println(err)
		return
	}
	var text strings.Builder
	for {
		chunk, err := s.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		text.WriteString(chunk.Text)
		if chunk.Finish != "" {
			fmt.Println("finish:", chunk.Finish)
		}
	}
	fmt.Println(text.String() == sim.Text(prompt, 4))
	// Output:
	// finish: stop
	// true
	// closed: <nil>
}
