package queue

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/semantic-worker/semantic/schemas"
)

// The subject grammar. Every subject that this package publishes or
// subscribes to is made here, and nowhere else.
//
//	semantic.jobs.<model>.<class>.<flow>.<owner>   a stored job
//	semantic.wake.<model>.<class>.<flow>.<owner>   the doorbell: headers only
//	semantic.events.<owner>.<job>                  a job's log
//	semantic.reply.<owner>.<job>                   the live feed of accepted events
//	semantic.dead.<model>.<owner>.<job>            a dead job
//	semantic.control.<worker>                      messages to one worker
//	semantic.report.<worker>                       a question to it: what it runs
//
// model, owner, job and worker are slugs, class is a schemas.Class, flow has
// two digits.
const (
	prefixJobs    = "semantic.jobs."
	prefixWake    = "semantic.wake."
	prefixEvents  = "semantic.events."
	prefixReply   = "semantic.reply."
	prefixControl = "semantic.control."
	prefixReport  = "semantic.report."
	prefixDead    = "semantic.dead."

	subjectsDead = "semantic.dead.*.*.*"
)

// OwnerLocal is the owner where there are no identities: a gateway without API
// keys, a publisher without an account of its own.
const OwnerLocal = "local"

func flowToken(flow int) string {
	return string([]byte{'0' + byte(flow/10), '0' + byte(flow%10)})
}

// JobSubject is the subject to which a job is published:
// semantic.jobs.<model>.<class>.<flow>.<owner>, model and owner as slugs.
func JobSubject(model string, class schemas.Class, flow int, owner string) string {
	return prefixJobs + Slug(model) + "." + string(class) + "." + flowToken(flow) + "." + Slug(owner)
}

// EventSubject is the subject of a job's log.
func EventSubject(owner, jobID string) string { return prefixEvents + Slug(owner) + "." + jobID }

// ReplySubject is the subject of a job's live feed.
func ReplySubject(owner, jobID string) string { return prefixReply + Slug(owner) + "." + jobID }

func deadSubject(model, owner, jobID string) string {
	return prefixDead + Slug(model) + "." + Slug(owner) + "." + jobID
}

// parseDeadSubject reads whose dead job is under a subject; false where it is
// under no subject of ours.
func parseDeadSubject(subject string) (model, owner, jobID string, ok bool) {
	token := strings.Split(strings.TrimPrefix(subject, prefixDead), ".")
	if len(token) != 3 {
		return "", "", "", false
	}
	model, errModel := Unslug(token[0])
	owner, errOwner := Unslug(token[1])
	return model, owner, token[2], errModel == nil && errOwner == nil && ValidJobID(token[2])
}

func controlSubject(workerID string) string { return prefixControl + Slug(workerID) }
func reportSubject(workerID string) string  { return prefixReport + Slug(workerID) }

func wakeSubject(model string, class schemas.Class, flow int, owner string) string {
	return prefixWake + Slug(model) + "." + string(class) + "." + flowToken(flow) + "." + Slug(owner)
}

func wakeFilter(model string) string { return prefixWake + Slug(model) + ".>" }

// flowFilter matches the jobs of all owners in one flow.
func flowFilter(model string, class schemas.Class, flow int) string {
	return prefixJobs + Slug(model) + "." + string(class) + "." + flowToken(flow) + ".*"
}

// modelFilter matches the jobs of one model in one class.
func modelFilter(model string, class schemas.Class) string {
	return prefixJobs + Slug(model) + "." + string(class) + ".*.*"
}

// classFilter matches all jobs of one class.
func classFilter(class schemas.Class) string { return prefixJobs + "*." + string(class) + ".*.*" }

// jobSubjects are the subjects under which jobs of one class are stored. A
// publish to another flow has no stream: it is refused, instead of stored where
// no claimer looks.
func jobSubjects(class schemas.Class) []string {
	subjects := make([]string, Flows)
	for flow := range subjects {
		subjects[flow] = prefixJobs + "*." + string(class) + "." + flowToken(flow) + ".*"
	}
	return subjects
}

// jobAddress is what a job's subject says.
type jobAddress struct {
	Model string
	Class schemas.Class
	Flow  int
	// Owner is empty where the subject is a filter.
	Owner string
}

// parseJobSubject reads a job subject, or a filter whose owner is "*".
func parseJobSubject(subject string) (jobAddress, error) {
	bad := func(what string) (jobAddress, error) {
		return jobAddress{}, fmt.Errorf("%w: job subject %q: %s", ErrInvalid, subject, what)
	}
	rest, ok := strings.CutPrefix(subject, prefixJobs)
	token := strings.Split(rest, ".")
	if !ok || len(token) != 4 {
		return bad("want " + prefixJobs + "<model>.<class>.<flow>.<owner>")
	}
	model, err := Unslug(token[0])
	if err != nil {
		return bad("model is not a slug")
	}
	class := schemas.Class(token[1])
	if !slices.Contains(schemas.Classes(), class) {
		return bad("unknown class")
	}
	flow, ok := parseFlow(token[2])
	if !ok {
		return bad("flow is not 00 to 15")
	}
	owner := ""
	if token[3] != "*" {
		if owner, err = Unslug(token[3]); err != nil {
			return bad("owner is not a slug")
		}
	}
	return jobAddress{Model: model, Class: class, Flow: flow, Owner: owner}, nil
}

// flowOf reads the flow of a job subject whose owner may be no slug.
func flowOf(subject string) (int, bool) {
	token := strings.Split(strings.TrimPrefix(subject, prefixJobs), ".")
	if len(token) != 4 {
		return 0, false
	}
	return parseFlow(token[2])
}

func parseFlow(token string) (int, bool) {
	flow, err := strconv.Atoi(token)
	if err != nil || flow < 0 || flow >= Flows || token != flowToken(flow) {
		return 0, false
	}
	return flow, true
}

// parseWakeSubject reads the class and flow of a doorbell.
func parseWakeSubject(subject string) (schemas.Class, int, bool) {
	token := strings.Split(strings.TrimPrefix(subject, prefixWake), ".")
	if len(token) != 4 {
		return "", 0, false
	}
	class := schemas.Class(token[1])
	flow, ok := parseFlow(token[2])
	return class, flow, ok && slices.Contains(schemas.Classes(), class)
}

// consumerName names the durable consumer of one flow. Consumers are folders
// on the server's disk, and a Mac's disk does not tell Qwen from qwen: so the
// readable part is lower case and short, and a hash of the model tells models
// apart.
func consumerName(model string, flow int) string {
	const readable = 40
	slug := strings.ToLower(Slug(model))
	if len(slug) > readable {
		slug = slug[:readable]
	}
	sum := sha256.Sum256([]byte(model))
	return slug + "-" + hex.EncodeToString(sum[:4]) + "-" + flowToken(flow)
}

// replyAllowed reports whether a worker may publish a job's events to replyTo:
// only under the owner's own inbox, or under a prefix that the operator named.
// In a prefix, {owner} stands for the owner's slug.
func replyAllowed(replyTo, owner string, prefixes []string) bool {
	if !concreteSubject(replyTo) {
		return false
	}
	inbox := "_INBOX." + Slug(owner) + "."
	if owner == OwnerLocal {
		inbox = "_INBOX."
	}
	if strings.HasPrefix(replyTo, inbox) {
		return true
	}
	for _, prefix := range prefixes {
		if strings.HasPrefix(replyTo, strings.ReplaceAll(prefix, "{owner}", Slug(owner))) {
			return true
		}
	}
	return false
}

// concreteSubject reports whether subject can be published to: no empty token,
// no wildcard, nothing that would break the protocol line.
func concreteSubject(subject string) bool {
	if subject == "" || len(subject) > 512 || strings.ContainsAny(subject, "*> \t\r\n\x00") {
		return false
	}
	return !slices.Contains(strings.Split(subject, "."), "")
}
