package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/schemas"
)

func newChatCommand(a *app) *cobra.Command {
	var (
		system   string
		sampling samplingFlags
		format   formatFlags
	)
	cmd := &cobra.Command{
		Use:   "chat [PROMPT]",
		Short: "Talk to a model through the gateway",
		Long: `Talk to a model. With a PROMPT, or when stdin is not a terminal, print one answer
and exit; otherwise keep a conversation: one line is one message.

In a conversation Ctrl-C stops the answer, /new begins anew, and /exit or Ctrl-D
ends the program.`,
		Example: `  semantic chat
  semantic chat "Why is the sky blue?"
  semantic chat --json-schema person.schema.json "Invent a person."
  git diff | semantic chat --system "Write a commit message for this diff."
  semantic chat --url https://mac-mini.local:8000 --api-key sk-... --temperature 0 "2+2?"`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			if err := sampling.check(cmd); err != nil {
				return err
			}
			if err := checkSystem(system); err != nil {
				return err
			}
			request := chatRequest{
				Model: c.Model, Temperature: sampling.temperature(cmd), TopP: sampling.topP(cmd),
				Seed: sampling.seed(cmd), MaxTokens: sampling.maxTokens(cmd),
			}
			if err := format.setRequest(&request); err != nil {
				return err
			}
			client := newChatClient(gatewayURL(c), c.APIKey, a.notef)
			defer client.close()
			s := &chatSession{app: a, client: client, request: request}
			if system != "" {
				s.system = []turn{{Role: schemas.RoleSystem, Content: system}}
			}
			return s.run(cmd.Context(), given)
		},
	}
	addConfigFlags(cmd, "url", "api-key", "model")
	cmd.Flags().StringVar(&system, "system", "", "system `PROMPT`")
	sampling.add(cmd)
	format.add(cmd)
	return cmd
}

// gatewayURL is where chat finds the gateway.
func gatewayURL(c *config.Loaded) string {
	if c.URL != "" {
		return c.URL
	}
	scheme := "http"
	if c.TLSCert != "" {
		scheme = "https"
	}
	return scheme + "://" + reachable(c.Host, c.Port)
}

// chatSession is one run of the chat command.
type chatSession struct {
	app     *app
	client  *chatClient
	request chatRequest
	// system is what every conversation begins with.
	system []turn

	// mu guards stop, which ends the answer that is being printed; nil while
	// none is.
	mu   sync.Mutex
	stop context.CancelCauseFunc
}

// errInterrupted is the cause of an answer that Ctrl-C stopped.
var errInterrupted = errors.New("interrupted")

func (s *chatSession) run(ctx context.Context, given []string) error {
	prompt := ""
	interactive := len(given) == 0 && terminal(s.app.In)
	if !interactive {
		var err error
		if prompt, err = s.app.promptFrom(given); err != nil {
			return err
		}
	}
	if s.request.Model == "" {
		model, err := s.client.model(ctx)
		if err != nil {
			return err
		}
		s.request.Model = model
	}
	if interactive {
		return s.converse(ctx)
	}
	_, err := s.ask(ctx, append(s.system, turn{Role: schemas.RoleUser, Content: prompt}))
	if stopped := new(stoppedError); errors.As(err, &stopped) {
		return withCode(errSilent, exitInterrupted)
	}
	return err
}

// ask prints the answer to the messages and returns it. The error of an answer
// that was stopped is the cause of the stop.
func (s *chatSession) ask(ctx context.Context, messages []turn) (string, error) {
	r := s.request
	r.Messages = messages
	var answer strings.Builder
	finish, err := s.client.stream(ctx, r, func(text string) error {
		answer.WriteString(text)
		return s.app.printf("%s", text)
	})
	if answer.Len() > 0 && !strings.HasSuffix(answer.String(), "\n") {
		if unended := s.app.printf("\n"); err == nil {
			err = unended
		}
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err == nil && finish == schemas.FinishLength {
		s.app.notef("(the answer was cut at its length limit)\n")
	}
	return answer.String(), err
}

// converse reads lines and answers them until the end of the input.
func (s *chatSession) converse(ctx context.Context) error {
	interrupted := func() { s.interrupt() }
	s.app.interrupt.Store(&interrupted)
	defer s.app.interrupt.Store(nil)

	s.app.notef("Talking to %s. Ctrl-C stops an answer, /new begins anew, /exit ends.\n", s.request.Model)
	lines, joined := readLines(ctx, s.app.In)
	defer joined()
	history := s.system
	for {
		s.app.notef("> ")
		var line string
		var open bool
		select {
		case <-ctx.Done():
			s.app.notef("\n")
			return nil
		case line, open = <-lines:
		}
		if !open {
			s.app.notef("\n")
			return nil
		}
		switch line = strings.TrimSpace(line); line {
		case "":
			continue
		case "/exit", "/quit":
			return nil
		case "/new":
			history = s.system
			s.app.notef("(a new conversation)\n")
			continue
		}
		if strings.HasPrefix(line, "/") && !strings.Contains(line, " ") {
			s.app.notef("%s is no command: there are /new and /exit.\n", line)
			continue
		}
		asked := append(slices.Clone(history), turn{Role: schemas.RoleUser, Content: line})
		answer, err := s.askInterruptibly(ctx, asked)
		if unwritten := new(outputError); errors.As(err, &unwritten) {
			return err
		}
		switch {
		case err == nil, errors.Is(err, errInterrupted) && answer != "":
			asked = append(asked, turn{Role: schemas.RoleAssistant, Content: answer})
			history = asked
		case ctx.Err() != nil, errors.Is(err, errInterrupted):
		default:
			s.app.report(nil, err)
		}
	}
}

// askInterruptibly is ask with Ctrl-C.
func (s *chatSession) askInterruptibly(ctx context.Context, messages []turn) (string, error) {
	answering, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.setStop(cancel)
	defer s.setStop(nil)
	answer, err := s.ask(answering, messages)
	if errors.Is(err, errInterrupted) {
		s.app.notef("(stopped)\n")
	}
	return answer, err
}

func (s *chatSession) setStop(stop context.CancelCauseFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop = stop
}

// interrupt is Ctrl-C.
func (s *chatSession) interrupt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop != nil {
		s.stop(errInterrupted)
		return
	}
	s.app.notef("\n(/exit or Ctrl-D ends)\n> ")
}

// readLines reads lines in a goroutine, since a read of a terminal cannot be
// interrupted otherwise. joined ends the goroutine if the reader allows it (a
// file with deadlines); else it ends with the process.
func readLines(ctx context.Context, in io.Reader) (lines <-chan string, joined func()) {
	out := make(chan string)
	done := make(chan struct{})
	stop, cancel := context.WithCancel(ctx)
	go func() {
		defer close(done)
		defer close(out)
		scanner := bufio.NewScanner(in)
		scanner.Buffer(make([]byte, 0, 4096), maxPrompt)
		for scanner.Scan() {
			select {
			case out <- scanner.Text():
			case <-stop.Done():
				return
			}
		}
	}()
	return out, func() {
		cancel()
		if f, ok := in.(*os.File); ok && f.SetReadDeadline(time.Unix(1, 0)) == nil {
			<-done
		}
	}
}
