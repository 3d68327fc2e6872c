package cloud

import (
	"errors"
	"fmt"
	"strings"

	"sigs.k8s.io/json"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/yamldoc"
)

// Parse reads what a provider's command printed of a cluster, as JSON or YAML, and
// tells whose it is. The error names the file and the line.
func Parse(file string, text []byte) (provider string, c *evidence.CloudConfig, err error) {
	var doc *yamldoc.Document
	for d, err := range new(yamldoc.Decoder).Documents(file, text) {
		if err != nil {
			return "", nil, fmt.Errorf("%s: %w", file, err)
		}
		if doc != nil {
			return "", nil, fmt.Errorf("%s: more than one document", file)
		}
		doc = &d
	}
	if doc == nil {
		return "", nil, fmt.Errorf("%s: it is empty", file)
	}
	var e struct {
		Cluster *eks `json:"cluster"`
		eks
	}
	var g gke
	var a aks
	d := &described{file: file, outline: doc.Outline}
	switch err := decode(doc.JSON, &e); {
	case err != nil: // another provider's fields of the same names
	case e.Cluster != nil && e.Cluster.VPC != nil:
		d.below = []string{"cluster"}
		return "EKS", d.eks(e.Cluster), nil
	case e.VPC != nil:
		return "EKS", d.eks(&e.eks), nil
	}
	if err := decode(doc.JSON, &g); err == nil && g.MasterVersion != "" {
		return "GKE", d.gke(&g), nil
	}
	if err := decode(doc.JSON, &a); err == nil && strings.Contains(strings.ToLower(a.ID), "/microsoft.containerservice/managedclusters/") {
		return "AKS", d.aks(&a), nil
	}
	return "", nil, fmt.Errorf("%s: %w", file, errForeign)
}

var errForeign = errors.New("not a description of a cluster by aws eks describe-cluster, gcloud container clusters describe or az aks show, as JSON")

func decode(text []byte, into any) error { return json.UnmarshalCaseSensitivePreserveInts(text, into) }

// A described is a file with a provider's description.
type described struct {
	file    string
	outline *evidence.Outline
	below   []string // the fields that the description stands below
}

// at is where a field is written, or what of it is.
func (d *described) at(field string) evidence.Position {
	p := evidence.NewPath(d.below...)
	for _, name := range strings.Split(field, ".") {
		p = p.Field(name)
	}
	at := d.outline.Place(p)
	at.File = d.file
	return at
}

func (d *described) is(value bool, field string) *evidence.CloudBool {
	return &evidence.CloudBool{Value: value, Field: field, Place: d.at(field)}
}

func (d *described) ranges(field string, list []string) (ranges []evidence.CloudRange) {
	for _, cidr := range list {
		ranges = append(ranges, evidence.CloudRange{CIDR: cidr, Field: field, Place: d.at(field)})
	}
	return ranges
}

func (d *described) config(name, version string) *evidence.CloudConfig {
	return &evidence.CloudConfig{Place: evidence.Position{File: d.file, Line: 1, Column: 1}, Name: name, Version: strings.TrimPrefix(version, "v")}
}

// eks is what aws eks describe-cluster prints.
type eks struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	VPC     *struct {
		Public bool     `json:"endpointPublicAccess"`
		Ranges []string `json:"publicAccessCidrs"`
	} `json:"resourcesVpcConfig"`
	Logging struct {
		Cluster []struct {
			Types   []string `json:"types"`
			Enabled bool     `json:"enabled"`
		} `json:"clusterLogging"`
	} `json:"logging"`
	Encryption []struct {
		Resources []string `json:"resources"`
		Provider  struct {
			Key string `json:"keyArn"`
		} `json:"provider"`
	} `json:"encryptionConfig"`
}

func (d *described) eks(e *eks) *evidence.CloudConfig {
	c := d.config(e.Name, e.Version)
	c.PublicEndpoint = d.is(e.VPC.Public, "resourcesVpcConfig.endpointPublicAccess")
	if e.VPC.Public {
		c.PublicRanges = d.ranges("resourcesVpcConfig.publicAccessCidrs", e.VPC.Ranges)
	}
	encrypted := false
	for _, x := range e.Encryption {
		for _, r := range x.Resources {
			encrypted = encrypted || r == "secrets" && x.Provider.Key != ""
		}
	}
	c.SecretsEncryption = d.is(encrypted, "encryptionConfig")
	if v, err := evidence.ParseVersion(c.Version); !encrypted && err == nil && v.AtLeast(28) {
		// All API data is then encrypted with a key of the provider's in its KMS.
		c.SecretsEncryption = d.is(true, "version")
	}
	audited := false
	for _, l := range e.Logging.Cluster {
		for _, t := range l.Types {
			audited = audited || l.Enabled && t == "audit"
		}
	}
	c.AuditLog = d.is(audited, "logging.clusterLogging")
	return c
}

// gke is what gcloud container clusters describe prints.
type gke struct {
	Name          string `json:"name"`
	MasterVersion string `json:"currentMasterVersion"`
	Private       struct {
		Endpoint bool `json:"enablePrivateEndpoint"`
	} `json:"privateClusterConfig"`
	Authorized gkeNetworks `json:"masterAuthorizedNetworksConfig"`
	Endpoints  struct {
		IP *struct {
			Enabled    *bool       `json:"enabled"`
			Public     bool        `json:"enablePublicEndpoint"`
			Authorized gkeNetworks `json:"authorizedNetworksConfig"`
		} `json:"ipEndpointsConfig"`
	} `json:"controlPlaneEndpointsConfig"`
	Database struct {
		State string `json:"state"`
	} `json:"databaseEncryption"`
	LegacyABAC struct {
		Enabled bool `json:"enabled"`
	} `json:"legacyAbac"`
	Auth struct {
		Username    string `json:"username"`
		Certificate struct {
			Issue bool `json:"issueClientCertificate"`
		} `json:"clientCertificateConfig"`
	} `json:"masterAuth"`
	Policy struct {
		Enabled bool `json:"enabled"`
	} `json:"networkPolicy"`
	Network struct {
		Datapath string `json:"datapathProvider"`
	} `json:"networkConfig"`
	NodePools []struct {
		Config struct {
			Metadata struct {
				Mode string `json:"mode"`
			} `json:"workloadMetadataConfig"`
		} `json:"config"`
	} `json:"nodePools"`
}

type gkeNetworks struct {
	Enabled bool `json:"enabled"`
	Blocks  []struct {
		CIDR string `json:"cidrBlock"`
	} `json:"cidrBlocks"`
}

func (d *described) gke(g *gke) *evidence.CloudConfig {
	c := d.config(g.Name, g.MasterVersion)
	public, field := !g.Private.Endpoint, "privateClusterConfig.enablePrivateEndpoint"
	networks, ranges := g.Authorized, "masterAuthorizedNetworksConfig"
	if ip := g.Endpoints.IP; ip != nil {
		public, field = ip.Public && (ip.Enabled == nil || *ip.Enabled), "controlPlaneEndpointsConfig.ipEndpointsConfig.enablePublicEndpoint"
		if ip.Authorized.Enabled {
			networks, ranges = ip.Authorized, "controlPlaneEndpointsConfig.ipEndpointsConfig.authorizedNetworksConfig"
		}
	}
	c.PublicEndpoint = d.is(public, field)
	if public && networks.Enabled {
		var list []string
		for _, b := range networks.Blocks {
			list = append(list, b.CIDR)
		}
		c.PublicRanges = d.ranges(ranges+".cidrBlocks", list)
		if len(list) == 0 { // nobody outside the provider's own networks
			c.PublicEndpoint = d.is(false, ranges+".enabled")
		}
	}
	c.SecretsEncryption = d.is(strings.HasSuffix(g.Database.State, "ENCRYPTED") && g.Database.State != "DECRYPTED", "databaseEncryption.state")
	c.LegacyAuthorization = d.is(g.LegacyABAC.Enabled, "legacyAbac.enabled")
	c.LocalAccounts = d.is(g.Auth.Username != "" || g.Auth.Certificate.Issue, "masterAuth")
	c.NetworkPolicy = d.is(g.Policy.Enabled, "networkPolicy.enabled")
	if g.Network.Datapath == "ADVANCED_DATAPATH" {
		c.NetworkPolicy = d.is(true, "networkConfig.datapathProvider")
	}
	if len(g.NodePools) > 0 {
		concealed := true
		for _, p := range g.NodePools {
			concealed = concealed && p.Config.Metadata.Mode == "GKE_METADATA"
		}
		c.MetadataConcealed = d.is(concealed, "nodePools")
	}
	return c
}

// aks is what az aks show prints.
type aks struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Version string `json:"kubernetesVersion"`
	Current string `json:"currentKubernetesVersion"`
	API     *struct {
		Private bool     `json:"enablePrivateCluster"`
		Ranges  []string `json:"authorizedIpRanges"`
	} `json:"apiServerAccessProfile"`
	Security *struct {
		KMS *struct {
			Enabled bool `json:"enabled"`
		} `json:"azureKeyVaultKms"`
	} `json:"securityProfile"`
	NoLocalAccounts *bool `json:"disableLocalAccounts"`
	RBAC            *bool `json:"enableRbac"`
	Network         *struct {
		Policy    *string `json:"networkPolicy"`
		Dataplane *string `json:"networkDataplane"`
	} `json:"networkProfile"`
}

func (d *described) aks(a *aks) *evidence.CloudConfig {
	version := a.Current
	if version == "" {
		version = a.Version
	}
	c := d.config(a.Name, version)
	private := a.API != nil && a.API.Private
	c.PublicEndpoint = d.is(!private, "apiServerAccessProfile.enablePrivateCluster")
	if !private && a.API != nil {
		c.PublicRanges = d.ranges("apiServerAccessProfile.authorizedIpRanges", a.API.Ranges)
	}
	c.SecretsEncryption = d.is(a.Security != nil && a.Security.KMS != nil && a.Security.KMS.Enabled, "securityProfile.azureKeyVaultKms.enabled")
	if a.NoLocalAccounts != nil {
		c.LocalAccounts = d.is(!*a.NoLocalAccounts, "disableLocalAccounts")
	}
	if a.RBAC != nil {
		c.LegacyAuthorization = d.is(!*a.RBAC, "enableRbac")
	}
	if n := a.Network; n != nil {
		enforced := n.Policy != nil && *n.Policy != "" && *n.Policy != "none"
		field := "networkProfile.networkPolicy"
		if !enforced && n.Dataplane != nil && *n.Dataplane == "cilium" {
			enforced, field = true, "networkProfile.networkDataplane"
		}
		c.NetworkPolicy = d.is(enforced, field)
	}
	return c
}
