package live

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/carrier"
	"github.com/gabion-k8s/gabion/internal/source/cluster"
	"github.com/gabion-k8s/gabion/internal/source/kind"
)

// How lists are asked for.
const (
	pageSize = 500
	// definitionsPage is for CustomResourceDefinitions, which are large.
	definitionsPage = 25
	// abreast is how many lists are asked for at a time.
	abreast = 4
	// maxObjects is how many objects of one list are read.
	maxObjects = 5_000_000
)

// definitions is the group of the CustomResourceDefinitions.
const definitions = "apiextensions.k8s.io"

// A collection is one look at a cluster.
type collection struct {
	*Client
	sink cluster.Sink
	// carrying are the custom kinds whose definition was seen, and whether their
	// objects may hold pods.
	carrying map[schema.GroupKind]bool
	// blind is why not all definitions were seen, "" if they were.
	blind string
	// unseen are the custom resources without a schema to be seen, and owning the
	// kinds among them that own something.
	unseen []resource
	owning map[schema.GroupKind]bool
	// nodes are the names of the nodes, as far as they are wanted.
	nodes []string
}

// ErrNoNamespace is within the error of Collect when a namespace that was asked for
// is not there.
var ErrNoNamespace = errors.New("does not exist")

// Collect hands everything to a Sink: lists in an order that is always the same,
// and what makes pods before the pods. What could not be seen is handed over as
// gaps. It calls the Sink from one goroutine and ends with the context's error
// when that is done, with the Sink's when it fails, and when a namespace that was
// asked for does not exist.
//
// A list that expires between two pages (410) is gone on with by the token that
// the server offers: each object that was there all the time is seen once, one
// that came or went in between may be missing.
func (c *Client) Collect(ctx context.Context, sink cluster.Sink) error {
	if c.cluster == nil {
		if _, err := c.Cluster(ctx); err != nil {
			return err
		}
	}
	co := &collection{Client: c, sink: sink, carrying: map[schema.GroupKind]bool{}, owning: map[schema.GroupKind]bool{}}
	if c.options.NoSecrets {
		sink.Gap(evidence.Gap{Fact: evidence.Secrets, Reason: "Secrets were not asked for (--no-secrets)", Declined: true})
	}
	found, err := co.catalogue(ctx)
	if err != nil {
		return err
	}
	lists, carriers := c.options.builtin(found)
	if err := co.list(ctx, lists); err != nil {
		return err
	}
	if found != nil {
		carriers = append(carriers, co.custom(ctx, found)...)
	}
	if err := co.usage(ctx, found); err != nil {
		return err
	}
	inOrder(carriers)
	if err := co.list(ctx, carriers); err != nil {
		return err
	}
	if err := co.list(ctx, co.owners()); err != nil {
		return err
	}
	return co.configz(ctx)
}

// builtin are the lists of built-in kinds, those that carry pods apart. Without a
// catalogue all of them are taken to be there.
func (o Options) builtin(found *catalogue) (lists, carriers []listing) {
	for r := range builtins() {
		r = o.scaling(r)
		served := true
		if found != nil {
			r, served = r.among(found)
		}
		switch {
		case !served:
		case slices.Contains(r.facts, evidence.Workloads):
			carriers = append(carriers, o.listings(r)...)
		default:
			lists = append(lists, o.listings(r)...)
		}
	}
	return lists, carriers
}

// custom are the lists of custom resources, once their definitions were seen.
func (co *collection) custom(ctx context.Context, found *catalogue) (lists []listing) {
	var customs []resource
	customs, co.unseen = co.customs(ctx, found, co.carrying)
	if co.blind != "" && len(co.unseen) > 0 {
		var names []string
		for _, r := range co.unseen {
			names = append(names, r.String())
		}
		co.gaps([]evidence.Fact{evidence.Workloads}, "", fmt.Sprintf("whether %s carry pods is not known: %s", enumerate(names), co.blind))
	}
	for _, r := range customs {
		lists = append(lists, co.options.listings(r)...)
	}
	return lists
}

// catalogue is what the server serves; nil when it does not say, which leaves the
// built-in kinds. What is down is a gap.
func (co *collection) catalogue(ctx context.Context) (*catalogue, error) {
	found, err := co.discover(ctx)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		reason := "what the API server serves is not known (" + plain(err) + "), so no custom resources were asked for"
		co.gaps(customFactsAll(), "", reason)
		return nil, nil
	}
	for _, group := range slices.Sorted(maps.Keys(found.down)) {
		facts := groupFacts(group)
		if len(facts) == 0 && !slices.Contains(podless, group) {
			facts = []evidence.Fact{evidence.Workloads}
		}
		co.gaps(facts, "", found.down[group])
	}
	return found, nil
}

// groupFacts are what objects of a group are known to be evidence for.
func groupFacts(group string) (facts []evidence.Fact) {
	for r := range builtins() {
		if r.group == group {
			facts = append(facts, r.facts...)
		}
	}
	if fact, read := kind.ReadGroup(group); read {
		facts = append(facts, cmp.Or(fact, evidence.Others))
	}
	for carrying := range carrier.Kinds() {
		if carrying == group {
			facts = append(facts, evidence.Workloads)
		}
	}
	slices.Sort(facts)
	return slices.Compact(facts)
}

// customFactsAll are what custom resources may be evidence for.
func customFactsAll() (facts []evidence.Fact) {
	facts = append(facts, evidence.Workloads)
	for _, group := range kind.ReadGroups() {
		facts = append(facts, groupFacts(group)...)
	}
	slices.Sort(facts)
	return slices.Compact(facts)
}

// gaps hands over what is missing, once for each fact.
func (co *collection) gaps(facts []evidence.Fact, scope, reason string) {
	for _, f := range facts {
		co.sink.Gap(evidence.Gap{Fact: f, Scope: scope, Reason: reason})
	}
}

// owners are the lists of those resources without a schema that turned out to
// own pods, or what makes pods.
func (co *collection) owners() (lists []listing) {
	for _, r := range co.unseen {
		if co.owning[schema.GroupKind{Group: r.group, Kind: r.kind}] {
			lists = append(lists, co.options.listings(r)...)
		}
	}
	return lists
}

// A batch is what one page of a list holds.
type batch struct {
	objects []cluster.Object
	// err is why there is no more, or, with objects, why some are missing.
	err error
}

// list asks for lists, some at a time, and hands them over one after the other.
// Each is at most three pages ahead of the Sink.
func (co *collection) list(ctx context.Context, lists []listing) error {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	streams := make([]chan batch, len(lists))
	for i := range streams {
		streams[i] = make(chan batch, 1)
	}
	slots := make(chan struct{}, abreast)
	running.Go(func() {
		for i, l := range lists {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			running.Go(func() {
				defer func() { <-slots }()
				defer close(streams[i])
				co.stream(ctx, l, streams[i])
			})
		}
	})
	for i, l := range lists {
		if err := co.drain(ctx, l, streams[i]); err != nil {
			return err
		}
	}
	return nil
}

// drain hands over one list, and notes how it went.
func (co *collection) drain(ctx context.Context, l listing, stream <-chan batch) error {
	done := evidence.Listing{Resource: l.String(), Namespace: l.scope()}
	var failed error
	for open := true; open; {
		var b batch
		select {
		case <-ctx.Done():
			return ctx.Err()
		case b, open = <-stream:
		}
		for _, o := range b.objects {
			if node, is := o.Typed.(*corev1.Node); is && co.options.Configz {
				co.nodes = append(co.nodes, node.Name)
			}
			if err := co.sink.Add(o); err != nil {
				return err
			}
			co.note(l, o)
		}
		if done.Objects += len(b.objects); co.options.Progress != nil {
			co.options.Progress(fmt.Sprintf("%s: %d", l, done.Objects))
		}
		failed = cmp.Or(failed, b.err)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if code(failed) == http.StatusNotFound && l.only != "" {
		return fmt.Errorf("namespace %q %w in cluster %q", l.only, ErrNoNamespace, co.name)
	}
	if reason := l.missing(failed, done.Objects); reason != "" {
		done.Error = reason
		co.gaps(l.facts, l.scope(), reason)
		if l.group == definitions {
			co.blind = reason
		}
	}
	co.cluster.Lists = append(co.cluster.Lists, done)
	return nil
}

// missing says what of a list could not be seen and why, "" for nothing. What the
// server does not know, and did not say that it does, is not there.
func (l listing) missing(err error, objects int) string {
	what := l.String()
	if l.only != "" {
		what = fmt.Sprintf("namespace %q", l.only)
	} else if l.namespace != "" {
		what += fmt.Sprintf(" in namespace %q", l.namespace)
	}
	verb := "list"
	if l.only != "" {
		verb = "get"
	}
	switch status := code(err); {
	case err == nil, status == http.StatusNotFound && !l.served:
		return ""
	case status == http.StatusForbidden:
		return fmt.Sprintf("may not %s %s (needs the right %s; gabion rbac own-role prints what is needed)", verb, what, verb)
	case objects > 0:
		return fmt.Sprintf("could not %s all of %s, only %d: %s", verb, what, objects, plain(err))
	}
	return fmt.Sprintf("could not %s %s: %s", verb, what, plain(err))
}

// note remembers what owns what makes or is a pod.
func (co *collection) note(l listing, o cluster.Object) {
	if len(co.unseen) == 0 || o.Typed == nil || !slices.Contains(l.facts, evidence.Workloads) {
		return
	}
	if owner := metav1.GetControllerOf(o.Typed); owner != nil {
		gv, _ := schema.ParseGroupVersion(owner.APIVersion)
		co.owning[schema.GroupKind{Group: gv.Group, Kind: owner.Kind}] = true
	}
}

// stream reads a list page by page.
func (co *collection) stream(ctx context.Context, l listing, out chan<- batch) {
	send := func(b batch) bool {
		select {
		case out <- b:
			return true
		case <-ctx.Done():
			return false
		}
	}
	if err := co.pages(ctx, l, func(p page) bool { return send(co.decodeAll(l, p)) }); err != nil {
		send(batch{err: err})
	}
}

// decodeAll decodes what a page holds.
func (co *collection) decodeAll(l listing, p page) (b batch) {
	b.objects = make([]cluster.Object, 0, len(p.items))
	for _, item := range p.items {
		o, err := l.decode(item, p.protobuf)
		if err != nil {
			b.err = fmt.Errorf("an object that cannot be read: %w", err)
			continue
		}
		if l.group == definitions {
			co.learn(item)
		}
		b.objects = append(b.objects, o)
	}
	return b
}

// learn remembers of a CustomResourceDefinition whether its objects may hold
// pods. Only one list is of definitions, so only one goroutine comes here.
func (co *collection) learn(text []byte) {
	var d definition
	if json.Unmarshal(text, &d) == nil {
		co.carrying[schema.GroupKind{Group: d.Spec.Group, Kind: d.Spec.Names.Kind}] = d.carries()
	}
}

// pages reads a list and visits its pages until visit says no. The next page is on
// its way while one is visited.
func (c *Client) pages(ctx context.Context, l listing, visit func(page) bool) error {
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	pager := &pager{Client: c, listing: l, limit: pageSize}
	if l.group == definitions {
		pager.limit = definitionsPage
	}
	type answer struct {
		page
		body *bytes.Buffer
		err  error
	}
	answers := make(chan answer, 1)
	ask := func(token string, body *bytes.Buffer) {
		p, err := pager.page(asking, token, body)
		answers <- answer{p, body, err}
	}
	forget := func(body *bytes.Buffer) {
		if l.secretType != "" {
			clear(body.Bytes())
		}
	}
	go ask("", new(bytes.Buffer))
	spare := new(bytes.Buffer)
	for token, objects := "", 0; ; {
		a := <-answers
		if a.err != nil {
			return a.err
		}
		objects += len(a.items)
		again := a.next == token
		more := a.next != "" && !again && objects <= maxObjects
		if more {
			go ask(a.next, spare)
		}
		goOn := visit(a.page)
		forget(a.body)
		if !goOn && more {
			cancel()
			forget((<-answers).body)
		}
		switch {
		case !goOn:
			return ctx.Err()
		case a.next == "":
			return nil
		case again:
			return errors.New("the API server sends the same page again and again")
		case !more:
			return fmt.Errorf("more than %d objects", maxObjects)
		}
		token, spare = a.next, a.body
	}
}

// A pager reads the pages of a list, one at a time.
type pager struct {
	*Client
	listing
	limit int
}

// page reads the page at a token into body. One that is too large is asked for again
// with fewer objects, and one that has expired by the token that the server offers.
func (p *pager) page(ctx context.Context, token string, body *bytes.Buffer) (page, error) {
	r := p.request()
	for resumed := false; ; {
		if p.only == "" {
			r.query.Set("limit", strconv.Itoa(p.limit))
			if p.selector != "" {
				r.query.Set("labelSelector", p.selector)
			}
			r.query.Set("continue", token)
		}
		_, err := p.get(ctx, r, body)
		if resume := expired(err); resume != "" && !resumed {
			token, resumed = resume, true
			continue
		}
		if errors.Is(err, errTooLarge) && p.limit > 1 {
			p.limit = max(1, p.limit/8)
			continue
		}
		if err != nil {
			return page{}, err
		}
		got, err := p.parse(body.Bytes())
		if err != nil {
			return page{}, fmt.Errorf("the API server sent %w", err)
		}
		return got, nil
	}
}

// expired is the token with which a list that has expired can be gone on with.
func expired(err error) string {
	if answer, ok := errors.AsType[*answerError](err); ok && answer.code == http.StatusGone {
		return answer.resume
	}
	return ""
}

// request asks for a list's first page.
func (l listing) request() request {
	r := request{path: groupPath(l.group, l.version), query: url.Values{}, quiet: l.secretType != ""}
	switch {
	case l.form == inMetadata:
		r.accept = metadataForm
	case l.form == inNames:
		r.accept = tableForm
		r.query.Set("includeObject", string(metav1.IncludeNone))
	case l.text || l.form == inJSON:
		r.accept = jsonForm
	default:
		r.accept = protobufForm
	}
	if l.secretType != "" {
		r.query.Set("fieldSelector", "type="+string(l.secretType))
	}
	if l.namespace != "" {
		r.path = append(r.path, "namespaces", l.namespace)
	}
	r.path = append(r.path, l.name)
	if l.only != "" {
		r.path = append(r.path, l.only)
	}
	return r
}

func (l listing) parse(body []byte) (page, error) {
	switch {
	case l.only != "":
		return parseSingle(body)
	case l.form == inMetadata:
		return parsePage(body, "PartialObjectMetadataList")
	case l.form == inNames:
		return parseTable(body)
	case l.form == inJSON:
		return parsePage(body, "") // definitions choose what they call their lists
	}
	return parsePage(body, l.kind+"List")
}
