package host

import (
	"encoding/json"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// connections reads the kubeconfigs by which an API server reaches the services that
// authenticate, authorize and judge images for it: those that its flags name, and
// those that its configuration files do.
func (r *reader) connections(c *evidence.Component) {
	var files []string
	for _, name := range []string{"authentication-token-webhook-config-file", "authorization-webhook-config-file"} {
		if f, ok := c.Flag(name); ok {
			files = append(files, f.Value)
		}
	}
	type imagePolicy struct{ KubeConfigFile string }
	type configuration struct {
		Authorizers []struct {
			Webhook struct {
				ConnectionInfo struct{ KubeConfigFile string }
			}
		}
		Plugins []struct {
			Configuration struct{ ImagePolicy imagePolicy }
		}
		ImagePolicy imagePolicy
	}
	for _, name := range []string{"authorization-config", "admission-control-config-file", "admission-control-config-file/ImagePolicyWebhook"} {
		var config configuration
		d := c.Documents[name]
		if d == nil || json.Unmarshal(d.JSON, &config) != nil {
			continue
		}
		for _, a := range config.Authorizers {
			files = append(files, a.Webhook.ConnectionInfo.KubeConfigFile)
		}
		for _, p := range config.Plugins {
			files = append(files, p.Configuration.ImagePolicy.KubeConfigFile)
		}
		files = append(files, config.ImagePolicy.KubeConfigFile)
	}
	const most = 100
	for _, file := range files[:min(len(files), most)] {
		if host, ok := c.HostPath(file); ok && file != "" {
			r.kubeconfig(host, true)
		}
	}
}
