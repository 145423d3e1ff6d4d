package queue

import (
	"slices"
	"strconv"
	"strings"

	"github.com/semantic-worker/semantic/schemas"
)

// Role is a kind of user of the broker. What a user of a role may do is
// [Role.Rights] and nothing else.
type Role string

// The roles. Gateways, workers and administrators share the system account, in
// which the streams are. Every publisher has an account of its own, and so have
// the observers: what comes from there cannot name a subject of the system
// account as reply subject, which no server checks.
const (
	// RoleGateway publishes jobs, reads logs, ends jobs, and looks after streams
	// and buckets.
	RoleGateway Role = "gateway"
	// RoleWorker claims jobs, writes their logs, and its own registry entry.
	RoleWorker Role = "worker"
	// RoleObserver reads: depth, registry, logs, and what workers say that they run.
	RoleObserver Role = "observer"
	// RolePublisher publishes jobs of one owner and hears their answers.
	RolePublisher Role = "publisher"
	// RoleAdmin may do everything in the system account: backup, migration.
	RoleAdmin Role = "admin"
)

// Roles lists all roles.
func Roles() []Role { return []Role{RoleGateway, RoleWorker, RoleObserver, RolePublisher, RoleAdmin} }

// WorkersPerUser is how many workers of one machine may share a worker's
// credentials: with the user NAME they are called NAME, NAME-1, NAME-2 and so on.
const WorkersPerUser = 8

// Rights are the subjects that a user may publish and subscribe to. {{name()}}
// in them stands for the user's name and {{subject()}} for its public key, as in
// the templates of NATS.
type Rights struct {
	Publish, Subscribe []string
}

// For puts a user's name and public key into the subjects.
func (r Rights) For(name, key string) Rights {
	fill := func(subjects []string) []string {
		filled := make([]string, len(subjects))
		for i, s := range subjects {
			filled[i] = strings.NewReplacer(userName, name, userKey, key).Replace(s)
		}
		return filled
	}
	return Rights{Publish: fill(r.Publish), Subscribe: fill(r.Subscribe)}
}

const (
	userName = "{{name()}}"
	userKey  = "{{subject()}}"

	// prefixInbox is where answers to requests of this package go, each user's
	// apart. Workers, and gateways for jobs that no worker ends, publish to all of
	// _INBOX., the inboxes of publishers, so the answers to gateways and workers do
	// not go there: nobody can forge them.
	prefixInbox = "_PRIVATE."

	apiPrefix = "$JS.API."

	// What only gateways read and write, and the stores of large jobs.
	inputsStream, deadInputs = "OBJ_" + storeInputs, "OBJ_" + storeDead
)

func inboxPrefix(key string) string { return prefixInbox + key }

// Rights is the table of what each role may do, the one from which credentials
// are made; docs/broker.md explains it.
func (r Role) Rights() Rights {
	own := prefixInbox + userKey + ".>"
	switch r {
	case RoleGateway:
		return Rights{
			Publish: slices.Concat(
				[]string{prefixJobs + "*.*.*.*", prefixEvents + "*.*", prefixControl + "*", prefixReport + "*",
					prefixReaders + "*.*", prefixArrivals + "*.*", "_INBOX.>"},
				writeKeys(bucketModels, bucketLeases, bucketKeys, bucketSecrets),
				[]string{"$O." + storeInputs + ".>", "$KV." + bucketExits + ".*.*"},
				api("INFO"), manage(allStreams()...), read(allStreams()...),
				watch(bucketStream(bucketWorkers), bucketStream(bucketModels), bucketStream(bucketLeases), bucketStream(bucketKeys)),
				onStreams("CONSUMER.LIST", "", jobsStreams()...), onStreams("STREAM.MSG.DELETE", "", append(jobsStreams(), streamDead)...),
				onStreams("STREAM.PURGE", "", streamEvents, inputsStream, deadInputs, bucketStream(bucketModels)),
			),
			Subscribe: []string{own, prefixReply + "*.*", prefixAnswer + "*", prefixReaders + "*.*", prefixArrivals + "*.*"},
		}
	case RoleWorker:
		return Rights{
			Publish: slices.Concat(
				[]string{prefixEvents + "*.*", prefixWake + "*.*.*.*", subjectsDead, "$O." + storeDead + ".>", "_INBOX.>", prefixAnswer + "*"},
				ownKeys(bucketWorkers), writeKeys(bucketModels, bucketAgents),
				api("INFO"), read(slices.DeleteFunc(allStreams(), secret)...),
				watch(bucketStream(bucketWorkers)),
				onStreams("CONSUMER.CREATE", ".*."+prefixJobs+">", jobsStreams()...),
				onStreams("CONSUMER.INFO", ".*", jobsStreams()...), onStreams("CONSUMER.MSG.NEXT", ".*", jobsStreams()...),
				[]string{"$JS.ACK." + jobsStream(schemas.ClassInteractive) + ".>", "$JS.ACK." + jobsStream(schemas.ClassNormal) + ".>",
					"$JS.ACK." + jobsStream(schemas.ClassBatch) + ".>"},
			),
			Subscribe: slices.Concat([]string{own, prefixWake + ">"}, names(prefixControl), names(prefixReport)),
		}
	case RoleObserver:
		streams := slices.DeleteFunc(allStreams(), secret)
		return Rights{
			Publish: slices.Concat([]string{prefixReport + "*"}, api("INFO"), read(streams...),
				onStreams("CONSUMER.LIST", "", jobsStreams()...), onStreams("CONSUMER.INFO", ".*", jobsStreams()...)),
			Subscribe: []string{own, prefixReply + "*.*", prefixAnswer + "*"},
		}
	case RolePublisher:
		return Rights{
			Publish: []string{
				prefixJobs + "*.*.*." + userName,
				// The last event of a job of its own: whether it has ended, and how.
				apiPrefix + "DIRECT.GET." + streamEvents + "." + prefixEvents + userName + ".*",
			},
			Subscribe: []string{"_INBOX.>", prefixReply + userName + ".*"},
		}
	case RoleAdmin:
		return Rights{Publish: []string{">"}, Subscribe: []string{">"}}
	}
	return Rights{}
}

// Imports are what an account outside the system account takes from it: the
// subjects that its users may publish to, answered by the system account
// (services), and those that they hear from there (streams). Empty for the roles
// inside it.
func (r Role) Imports() (services, streams []string) {
	switch r {
	case RoleObserver:
		return r.Rights().Publish, []string{prefixReply + "*.*", prefixAnswer + "*"}
	case RolePublisher:
		return r.Rights().Publish, []string{"_INBOX." + userName + ".>", prefixReply + userName + ".*"}
	case RoleGateway, RoleWorker, RoleAdmin:
	}
	return nil, nil
}

// Export is a subject that the system account offers to the others.
type Export struct {
	Subject string
	// Service tells requests that it answers from messages that it sends.
	Service bool
	// Many is set where the answer to one request is several messages.
	Many bool
}

// Exports lists everything that the roles outside the system account import.
func Exports() []Export {
	services, _ := RoleObserver.Imports() // has what publishers may read, too
	exports := []Export{
		{Subject: prefixJobs + "*.*.*.*", Service: true}, {Subject: prefixReply + "*.*"}, {Subject: "_INBOX.*.>"},
		{Subject: prefixAnswer + "*"},
	}
	for _, s := range services {
		exports = append(exports, Export{Subject: s, Service: true, Many: strings.HasPrefix(s, apiPrefix+"DIRECT.GET.")})
	}
	return exports
}

func api(verb string) []string { return []string{apiPrefix + verb} }

func onStreams(verb, rest string, streams ...string) []string {
	subjects := make([]string, len(streams))
	for i, s := range streams {
		subjects[i] = apiPrefix + verb + "." + s + rest
	}
	return subjects
}

// manage lets Ensure do its work.
func manage(streams ...string) []string {
	return slices.Concat(onStreams("STREAM.CREATE", "", streams...), onStreams("STREAM.UPDATE", "", streams...))
}

// read is everything that reads messages without a consumer.
func read(streams ...string) []string {
	return slices.Concat(onStreams("STREAM.INFO", "", streams...), onStreams("STREAM.MSG.GET", "", streams...),
		onStreams("DIRECT.GET", "", streams...), onStreams("DIRECT.GET", ".>", streams...))
}

// watch is what a client's ordered consumer needs.
func watch(streams ...string) []string {
	subjects := slices.Concat(onStreams("CONSUMER.CREATE", ".>", streams...), onStreams("CONSUMER.INFO", ".*", streams...),
		onStreams("CONSUMER.DELETE", ".*", streams...))
	for _, s := range streams {
		subjects = append(subjects, "$JS.FC."+s+".>")
	}
	return subjects
}

func writeKeys(buckets ...string) []string {
	subjects := make([]string, len(buckets))
	for i, b := range buckets {
		subjects[i] = "$KV." + b + ".*"
	}
	return subjects
}

// ownKeys are the keys of one user's workers.
func ownKeys(bucket string) []string { return names("$KV." + bucket + ".") }

// names are the subjects of one user's workers under a prefix.
func names(prefix string) []string {
	subjects := []string{prefix + userName}
	for n := 1; n < WorkersPerUser; n++ {
		subjects = append(subjects, prefix+userName+"-"+strconv.Itoa(n))
	}
	return subjects
}

// allStreams are the names of all streams of the topology.
func allStreams() []string {
	var all []string
	for _, s := range DefaultConfig().streams() {
		all = append(all, s.Name)
	}
	return all
}

func jobsStreams() []string {
	streams := make([]string, 0, len(schemas.Classes()))
	for _, class := range schemas.Classes() {
		streams = append(streams, jobsStream(class))
	}
	return streams
}

// sees reports whether a stream concerns a role. Without roles, where everybody
// may do everything, all do.
func (r Role) sees(stream string) bool {
	return !secret(stream) || r != RoleWorker && r != RoleObserver
}

// secret reports whether only gateways read a stream.
func secret(stream string) bool {
	return stream == bucketStream(bucketKeys) || stream == bucketStream(bucketSecrets)
}
