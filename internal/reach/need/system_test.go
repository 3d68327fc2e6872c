package need

import (
	"testing"

	"github.com/gabion-k8s/gabion/internal/reach/cidr"
)

func TestConstants(t *testing.T) {
	for _, list := range [][]string{MetadataList(), inwardList()} {
		if _, err := cidr.Parse(list...); err != nil {
			t.Error(err)
		}
	}
}
