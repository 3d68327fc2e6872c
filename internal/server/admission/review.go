package admission

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"

	"github.com/gabion-k8s/gabion/internal/report"
)

// What of a verdict is told. An API server passes on some 4096 characters of warnings
// in all and cuts each at 256; what follows of a refusal nobody reads.
const (
	mostWarnings  = 12
	mostReasons   = 8
	longestText   = 256
	moreThanShown = "and %d more: gabion scan tells all of them"
)

// Review answers an AdmissionReview with one. The error is for what is none, and for
// objects that cannot be read: the API server then does what its failure policy says.
func (j *Judge) Review(ctx context.Context, body []byte) (*admissionv1.AdmissionReview, *admissionv1.AdmissionRequest, error) {
	request, err := parse(body)
	if err != nil {
		return nil, nil, err
	}
	v, err := j.Judge(ctx, request)
	if err != nil {
		return nil, request, err
	}
	return &admissionv1.AdmissionReview{TypeMeta: reviewType, Response: j.respond(request, v)}, request, nil
}

var reviewType = metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"}

// parse reads a request. Fields that a newer API server adds are passed over.
func parse(body []byte) (*admissionv1.AdmissionRequest, error) {
	var review admissionv1.AdmissionReview
	strict, err := kjson.UnmarshalStrict(body, &review, kjson.DisallowDuplicateFields)
	switch {
	case err != nil, len(strict) > 0:
		return nil, errors.New("not an AdmissionReview")
	case review.TypeMeta != reviewType:
		return nil, fmt.Errorf("want an AdmissionReview of %s", reviewType.APIVersion)
	case review.Request == nil:
		return nil, errors.New("an AdmissionReview without a request")
	case review.Request.UID == "":
		return nil, errors.New("a request without a uid")
	}
	return review.Request, nil
}

// respond puts a verdict into words.
func (j *Judge) respond(r *admissionv1.AdmissionRequest, v Verdict) *admissionv1.AdmissionResponse {
	out := &admissionv1.AdmissionResponse{UID: r.UID, Allowed: v.Allowed}
	n := 0 // the worst come first
	for n < len(v.Findings) && j.denies(v.Findings[n]) {
		n++
	}
	out.Warnings = sentences(mostWarnings, v.Findings[n:])
	if !v.Allowed {
		out.Result = &metav1.Status{
			Status: metav1.StatusFailure, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden,
			Message: strings.Join(sentences(mostReasons, v.Findings[:n]), "; "),
		}
	}
	return out
}

// sentences are at most so many texts about findings.
func sentences(most int, list []report.Finding) (texts []string) {
	shown := list
	if len(list) > most {
		shown = list[:most-1]
	}
	for i := range shown {
		texts = append(texts, sentence(&shown[i]))
	}
	if more := len(list) - len(shown); more > 0 {
		texts = append(texts, fmt.Sprintf(moreThanShown, more))
	}
	return texts
}

// sentence says what is wrong, where, and what to do.
func sentence(f *report.Finding) string {
	return shorten(fmt.Sprintf("%s (%s) at %s: %s: %s", f.Rule, f.Severity, f.Path, f.Message, f.Remediation.Summary))
}

// shorten makes a text fit for a header: one line, and not too long. Names in it are
// whatever their authors chose.
func shorten(text string) string {
	var b strings.Builder
	n := 0
	for _, r := range text {
		if n++; n == longestText {
			b.WriteRune('…')
			break
		}
		if !unicode.IsPrint(r) {
			r = ' '
		}
		b.WriteRune(r)
	}
	return b.String()
}

// encode writes an answer.
func encode(review *admissionv1.AdmissionReview) ([]byte, error) { return json.Marshal(review) }
